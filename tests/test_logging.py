"""The output of loggers, and the functions that set the verbosity."""

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


def test_warnings_go_to_standard_error_and_infos_do_not(capsys):
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


def test_the_default_handler_can_be_disabled_and_enabled(capsys):
    logging.disable_default_handler()
    logging.get_logger("filmstrip.x").warning("one")
    logging.enable_default_handler()
    logging.get_logger("filmstrip.x").warning("two")
    assert capsys.readouterr().err == "two\n"


def test_an_added_handler_receives_messages_until_it_is_removed():
    messages = []
    handler = python_logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.add_handler(handler)
    logging.get_logger("filmstrip.x").error("once")
    logging.remove_handler(handler)
    logging.get_logger("filmstrip.x").error("twice")
    assert messages == ["once"]


def test_messages_reach_the_root_logger_only_with_propagation():
    messages = []
    handler = python_logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    python_logging.getLogger().addHandler(handler)
    logging.get_logger("filmstrip.x").warning("kept")
    logging.enable_propagation()
    logging.get_logger("filmstrip.x").warning("propagated")
    python_logging.getLogger().removeHandler(handler)
    assert messages == ["propagated"]


def test_the_explicit_format_names_level_and_file(capsys):
    logging.enable_explicit_format()
    logging.get_logger("filmstrip.x").warning("text")
    logging.reset_format()
    logging.get_logger("filmstrip.x").warning("text")
    explicit, plain = capsys.readouterr().err.splitlines()
    assert explicit.startswith("[WARNING|test_logging.py:")
    assert explicit.endswith(">> text")
    assert plain == "text"


def test_progress_bars_are_switched_separately():
    assert logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    assert not logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    assert logging.is_progress_bar_enabled()


@pytest.mark.parametrize(
    ("value", "level"), [("debug", 10), ("ERROR", 40), ("noise", 30), (None, 30)]
)
def test_the_environment_variable_sets_the_level(value, level, monkeypatch):
    monkeypatch.delenv("FILMSTRIP_VERBOSITY", raising=False)
    if value:
        monkeypatch.setenv("FILMSTRIP_VERBOSITY", value)
    code = "from filmstrip import logging; print(logging.get_verbosity())"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) == level
    assert ("'noise'" in result.stderr) == (value == "noise")
