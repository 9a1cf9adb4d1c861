"""Live bars on a terminal, lines elsewhere, nothing when quiet; all keep the pipelines' Progress
contract.
"""

import io
import re

import pytest
import torch
from rich.console import Console

from filmstrip.cli import display
from filmstrip.cli.display import Display, Live
from filmstrip.jobs.progress import StageTimer


def console(width: int = 80) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, soft_wrap=True, highlight=False
    )


def run_job(shown: Display) -> None:
    """What a run does with a display."""
    with shown.running():
        with shown.stage("load"):
            pass
        for number in (1, 2):
            shown.next_video(f"{number} of 2")
            with shown.stage("denoise", 4) as advance:
                for _ in range(4):
                    advance()


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = display.open_display(quiet=True)
    shown.say("hello")
    shown.warn("hello")
    run_job(shown)
    assert capsys.readouterr() == ("", "")
    assert type(shown) is Display


def test_without_a_terminal_stages_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    shown = display.open_display(quiet=False)
    with shown.checking():
        shown.say("[bold]as it stands[/bold]")
    run_job(shown)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert re.sub(r"\d+\.\d+", "0", err).splitlines() == [
        "[bold]as it stands[/bold]",
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


def test_a_bar_of_a_failed_stage_does_not_hide_the_error() -> None:
    shown = Live(console())
    with (
        pytest.raises(RuntimeError, match="the real one"),
        shown.running(),
        shown.stage("denoise", 4),
    ):
        raise RuntimeError("the real one")


def test_the_stage_timer_adds_up_stages_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 2.0, 10.0, 13.0, 20.0, 21.0])
    monkeypatch.setattr(display.time, "perf_counter", lambda: next(ticks))
    watch = StageTimer(Display(), "cpu")
    for name in ("denoise", "denoise", "decode"):
        with watch.stage(name, 1) as advance:
            advance()
    assert watch.seconds == {"denoise": 5.0, "decode": 1.0}


def test_a_gpu_finishes_its_work_before_the_stage_timer_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def synchronize(device: str) -> None:
        nonlocal now
        assert device == "cuda:1"
        now += 4

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(display.time, "perf_counter", lambda: now)
    watch = StageTimer(Display(), "cuda:1")
    with watch.stage("denoise"):
        now += 1
    assert watch.seconds == {"denoise": 5.0}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.00 s"),
        (0.999, "1.0 s"),
        (59.94, "59.9 s"),
        (59.99, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7380, "2 h 03 min"),
    ],
)
def test_durations_are_as_exact_as_matters(seconds: float, words: str) -> None:
    assert display.duration(seconds) == words
