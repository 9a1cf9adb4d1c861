"""Ctrl-C raises at once, but during a job the first one is only recorded."""

import os
import signal

import pytest

from filmstrip.cli.interrupts import Interrupts

from .conftest import FakePipeline, Run


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class InterruptInDel:
    """Presses Ctrl-C in `__del__`, where Python prints and drops exceptions."""

    def __del__(self) -> None:
        press_ctrl_c()


def test_ctrl_c_raises_at_once_outside_a_job() -> None:
    interrupts = Interrupts()
    before = signal.getsignal(signal.SIGINT)
    with interrupts.handled():
        assert not interrupts.requested()
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
        assert interrupts.requested()
    assert signal.getsignal(signal.SIGINT) is before


def test_in_a_job_the_first_ctrl_c_is_recorded_and_the_second_raises(
    capfd: pytest.CaptureFixture[str],
) -> None:
    interrupts = Interrupts()
    with interrupts.handled(), interrupts.deferred("Ending after this step."):
        press_ctrl_c()
        assert interrupts.requested()
        assert capfd.readouterr().err == "Ending after this step.\n"
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("in_a_job", [False, True])
def test_ctrl_c_in_a_del_is_recorded(in_a_job: bool) -> None:
    interrupts = Interrupts()
    with interrupts.handled():
        if in_a_job:
            with interrupts.deferred(None):
                InterruptInDel()
        else:
            InterruptInDel()
        assert interrupts.requested()


def test_each_command_of_a_process_starts_without_an_interrupt() -> None:
    interrupts = Interrupts()
    with interrupts.handled(), pytest.raises(KeyboardInterrupt):
        press_ctrl_c()
    with interrupts.handled():
        assert not interrupts.requested()


def test_a_process_that_ignores_interrupts_still_ignores_them() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts = Interrupts()
        with interrupts.handled():
            press_ctrl_c()
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
        InterruptInDel()
        return load(*arguments, **options)  # type: ignore[arg-type]

    if moment == "load":
        monkeypatch.setattr(pipeline, "from_pretrained", interrupted)
    else:
        monkeypatch.setattr(pipeline, "before_step", InterruptInDel)
    size = ("--width", 32, "--height", 32, "--frames", 5, "--steps", 2)
    result = run("generate", "x", "-m", model, *size, "-o", "a.mp4")
    assert result.code == 130
    assert "Interrupted: 0 of 1 videos are written." in result.err
    assert not os.path.exists("a.mp4")
