"""The `filmstrip` process: its start, its exit codes, and errors without a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import filmstrip

from .conftest import FakePipeline, Run

PROGRAM = [sys.executable, "-c", "from filmstrip.cli.main import main; main()"]


def start(*words: object, folder: Path | None = None, **streams: object) -> subprocess.Popen[str]:
    pipes: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen([*PROGRAM, *map(str, words)], cwd=folder, text=True, **pipes)  # type: ignore[call-overload]


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").out == f"filmstrip {filmstrip.__version__}\n"


def test_every_command_has_help_with_every_option(run: Run) -> None:
    assert all(name in run("--help").out for name in ("generate", "show", "models"))
    shown = run("generate", "-h").out
    options = (
        "model width height frames seconds fps steps guidance negative seed count device dtype"
    )
    for option in [
        *options.split(),
        "snap",
        "no-snap",
        "output",
        "json",
        "dry-run",
        "provenance",
        "no-provenance",
    ]:
        assert f"--{option}" in shown


def test_help_imports_no_slow_library() -> None:
    code = (
        "import sys\n"
        "from filmstrip.cli.main import main\n"
        "sys.argv = ['filmstrip', 'generate', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({'torch', 'numpy', 'transformers', 'huggingface_hub', 'av', 'PIL'} & "
        "sys.modules.keys())\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.splitlines()[-1] == "set()"


def test_an_interrupt_that_a_library_turns_into_another_error_exits_with_130(
    run: Run, model: str, pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ModuleNotFoundError("Could not import a module.") from None

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(pipeline, "from_pretrained", interrupted)
    result = run("generate", "x", "-m", model, "-o", "a.mp4")
    assert result.code == 130
    assert "Could not import" not in result.err
    assert signal.getsignal(signal.SIGINT) is before


def test_a_bug_keeps_its_traceback(run: Run, model: str, pipeline: FakePipeline) -> None:
    pipeline.fail = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        run("generate", "x", "-m", model, "-o", "a.mp4")


def test_an_error_of_the_system_is_one_line(run: Run, model: str, pipeline: FakePipeline) -> None:
    pipeline.fail = OSError(28, "No space left on device")
    result = run("generate", "x", "-m", model, "-o", "a.mp4")
    assert result.code == 1
    assert result.err.splitlines()[-1] == "System error: [Errno 28] No space left on device."


def test_a_closed_pipe_ends_the_process_quietly() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start("models", stdout=write_end)
    os.close(write_end)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == ""


def test_a_terminal_that_cannot_show_the_prompt_is_no_error(tmp_path: Path, model: str) -> None:
    words = ("generate", "\N{CAT FACE} caf\u00e9", "--model", model, "--dry-run", "--seed", 1)
    process = start(*words, folder=tmp_path, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, "? caf?" in out) == (0, True), err


def test_a_closed_standard_output_is_no_error(tmp_path: Path, model: str) -> None:
    code = "from filmstrip.cli.main import main; main()"
    command = f'"{sys.executable}" -c "{code}" generate x --model "{model}" --dry-run >&-'
    result = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr.count("Traceback")) == (0, 0), result.stderr
