"""Shared by all tests: one torch thread in each process, and no call to the network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The global generator starts from the same state in every test."""
    torch.manual_seed(0)
