"""Ctrl-C: raised at once, but while a job runs first noted, where raising could be lost."""

import os
import signal

import pytest

from filmstrip.cli.interrupts import Interrupts

from .conftest import FakePipeline, Run


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class PressedInDel:
    """Ctrl-C in the middle of a `__del__`, in which an exception is printed and dropped."""

    def __del__(self) -> None:
        press()


def test_it_raises_at_once_outside_of_a_job() -> None:
    interrupts = Interrupts()
    before = signal.getsignal(signal.SIGINT)
    with interrupts.handled():
        assert not interrupts.requested()
        with pytest.raises(KeyboardInterrupt):
            press()
        assert interrupts.requested()
    assert signal.getsignal(signal.SIGINT) is before


def test_in_a_job_the_first_is_noted_and_the_second_raises(
    capfd: pytest.CaptureFixture[str],
) -> None:
    interrupts = Interrupts()
    with interrupts.handled(), interrupts.deferred("Ending after this step."):
        press()
        assert interrupts.requested()
        assert capfd.readouterr().err == "Ending after this step.\n"
        with pytest.raises(KeyboardInterrupt):
            press()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("in_a_job", [False, True])
def test_one_that_comes_in_a_del_is_noted_too(in_a_job: bool) -> None:
    interrupts = Interrupts()
    with interrupts.handled():
        if in_a_job:
            with interrupts.deferred(None):
                PressedInDel()
        else:
            PressedInDel()
        assert interrupts.requested()


def test_another_command_of_the_process_begins_anew() -> None:
    interrupts = Interrupts()
    with interrupts.handled(), pytest.raises(KeyboardInterrupt):
        press()
    with interrupts.handled():
        assert not interrupts.requested()


def test_a_process_that_ignores_interrupts_goes_on_doing_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts = Interrupts()
        with interrupts.handled():
            press()
            assert not interrupts.requested()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("moment", ["load", "denoise"])
def test_an_interrupt_in_a_del_ends_the_command(
    run: Run,
    model: str,
    pipeline: FakePipeline,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    load = pipeline.from_pretrained

    def interrupted(*arguments: object, **options: object) -> FakePipeline:
        PressedInDel()
        return load(*arguments, **options)  # type: ignore[arg-type]

    if moment == "load":
        monkeypatch.setattr(pipeline, "from_pretrained", interrupted)
    else:
        monkeypatch.setattr(pipeline, "before_step", PressedInDel)
    size = ("--width", 32, "--height", 32, "--frames", 5, "--steps", 2)
    result = run("generate", "x", "-m", model, *size, "-o", "a.mp4")
    assert result.code == 130
    assert "Interrupted: 0 of 1 videos are written." in result.err
    assert not os.path.exists("a.mp4")
