"""Fixtures that several of these tests use."""

import logging

import pytest

from filmstrip.logging import add_handler, remove_handler


@pytest.fixture
def warnings():
    """A list that fills with the warnings that filmstrip logs."""
    heard: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.append(record.getMessage())
    add_handler(handler)
    yield heard
    remove_handler(handler)
