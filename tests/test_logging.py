"""Loggers: where they write, and the calls that set how much."""

import logging as python_logging
import subprocess
import sys

import pytest

from filmstrip import logging


@pytest.fixture(autouse=True)
def _restored():
    level = logging.get_verbosity()
    yield
    logging.set_verbosity(level)
    logging.enable_default_handler()
    logging.disable_propagation()
    logging.reset_format()
    logging.enable_progress_bar()


def test_a_warning_goes_to_standard_error_and_information_does_not(capsys):
    logger = logging.get_logger("filmstrip.somewhere")
    logger.info("quiet")
    logger.warning("loud")
    assert capsys.readouterr().err == "loud\n"


@pytest.mark.parametrize(
    ("call", "level"),
    [
        (logging.set_verbosity_debug, logging.DEBUG),
        (logging.set_verbosity_info, logging.INFO),
        (logging.set_verbosity_warning, logging.WARNING),
        (logging.set_verbosity_error, logging.ERROR),
        (lambda: logging.set_verbosity(logging.CRITICAL), logging.CRITICAL),
    ],
)
def test_the_verbosity_calls_set_the_level_of_every_logger(call, level):
    call()
    assert logging.get_verbosity() == level
    assert logging.get_logger("filmstrip.ltx.models.autoencoder").getEffectiveLevel() == level
    assert logging.get_logger().name == "filmstrip"


def test_the_default_handler_can_be_taken_away_and_put_back(capsys):
    logging.disable_default_handler()
    logging.get_logger("filmstrip.x").warning("one")
    logging.enable_default_handler()
    logging.get_logger("filmstrip.x").warning("two")
    assert capsys.readouterr().err == "two\n"


def test_a_handler_of_ones_own_hears_everything():
    heard = []
    handler = python_logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logging.add_handler(handler)
    logging.get_logger("filmstrip.x").error("once")
    logging.remove_handler(handler)
    logging.get_logger("filmstrip.x").error("twice")
    assert heard == ["once"]


def test_messages_reach_the_root_logger_only_where_that_is_asked_for():
    heard = []
    handler = python_logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    python_logging.getLogger().addHandler(handler)
    logging.get_logger("filmstrip.x").warning("kept")
    logging.enable_propagation()
    logging.get_logger("filmstrip.x").warning("handed on")
    python_logging.getLogger().removeHandler(handler)
    assert heard == ["handed on"]


def test_the_explicit_format_names_level_and_file(capsys):
    logging.enable_explicit_format()
    logging.get_logger("filmstrip.x").warning("text")
    logging.reset_format()
    logging.get_logger("filmstrip.x").warning("text")
    explicit, plain = capsys.readouterr().err.splitlines()
    assert explicit.startswith("[WARNING|test_logging.py:")
    assert explicit.endswith(">> text")
    assert plain == "text"


def test_progress_bars_are_a_switch_of_their_own():
    assert logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    assert not logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    assert logging.is_progress_bar_enabled()


@pytest.mark.parametrize(
    ("value", "level"), [("debug", 10), ("ERROR", 40), ("noise", 30), (None, 30)]
)
def test_the_environment_sets_the_first_level(value, level, monkeypatch):
    monkeypatch.delenv("FILMSTRIP_VERBOSITY", raising=False)
    if value:
        monkeypatch.setenv("FILMSTRIP_VERBOSITY", value)
    code = "from filmstrip import logging; print(logging.get_verbosity())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == level
    assert ("'noise'" in done.stderr) == (value == "noise")
