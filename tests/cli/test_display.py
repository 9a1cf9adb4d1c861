"""Displays: live bars on a terminal, lines elsewhere, and nothing when quiet."""

import io
import re

import pytest
import torch
from rich.console import Console

from filmstrip.cli.display import Display, Live, open_display
from filmstrip.jobs import progress
from filmstrip.jobs.formatting import duration
from filmstrip.jobs.progress import StageTimer


def console(width: int = 80) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, soft_wrap=True, highlight=False
    )


def run_job(display: Display) -> None:
    """The calls of a display during a job."""
    with display.running():
        with display.stage("load"):
            pass
        for number in (1, 2):
            display.next_video(f"{number} of 2")
            with display.stage("denoise", 4) as advance:
                for _ in range(4):
                    advance()


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    display = open_display(quiet=True)
    display.info("hello")
    display.warn("hello")
    run_job(display)
    assert capsys.readouterr() == ("", "")
    assert type(display) is Display


def test_without_a_terminal_stages_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    display = open_display(quiet=False)
    with display.checking():
        display.info("[bold]not markup[/bold]")
    run_job(display)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert re.sub(r"\d+\.\d+", "0", err).splitlines() == [
        "[bold]not markup[/bold]",
        *("load ...", "load done in 0 s"),
        *("1 of 2", "denoise ...", "denoise done in 0 s"),
        *("2 of 2", "denoise ...", "denoise done in 0 s"),
    ]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_bars_show_count_and_time_and_fit_the_terminal(width: int) -> None:
    screen = console(width)
    run_job(Live(screen))
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in re.split(r"[\r\n]", written))
    assert "1 of 2" in written
    if width > 20:
        assert re.search(r"denoise +━* *4/4 +0\.\d\d s", written)


def test_an_error_in_a_stage_with_a_bar_is_raised() -> None:
    display = Live(console())
    with (
        pytest.raises(RuntimeError, match="a real error"),
        display.running(),
        display.stage("denoise", 4),
    ):
        raise RuntimeError("a real error")


def test_the_stage_timer_adds_up_stages_of_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 2.0, 10.0, 13.0, 20.0, 21.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(ticks))
    timer = StageTimer(Display(), "cpu")
    for name in ("denoise", "denoise", "decode"):
        with timer.stage(name, 1) as advance:
            advance()
    assert timer.seconds == {"denoise": 5.0, "decode": 1.0}


def test_a_gpu_finishes_its_work_before_the_stage_timer_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def synchronize(device: str) -> None:
        nonlocal now
        assert device == "cuda:1"
        now += 4

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    timer = StageTimer(Display(), "cuda:1")
    with timer.stage("denoise"):
        now += 1
    assert timer.seconds == {"denoise": 5.0}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 s"),
        (0.999, "1.0 s"),
        (59.94, "59.9 s"),
        (59.99, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7380, "2 h 03 min"),
    ],
)
def test_durations_have_two_or_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
