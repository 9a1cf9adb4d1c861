"""Shared by all tests: one torch thread in each process, and no call to the network."""

import logging
import os
import signal
from collections.abc import Iterator

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

from filmstrip.logging import add_handler, remove_handler

torch.set_num_threads(1)
# A job in the background of a shell ignores Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The global generator starts from the same state in every test."""
    torch.manual_seed(0)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """A list to which the warnings of filmstrip's loggers are added."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    add_handler(handler)
    yield messages
    remove_handler(handler)
