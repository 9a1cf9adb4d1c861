"""Every snippet of README.md and docs/ runs; see `snippets` and `stand_ins`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.docs.snippets import NOT_RUN, RUN, Command, Snippet, read_commands, read_snippets
from tests.docs.stand_ins import (
    OUTPUT_REPLACEMENTS,
    REPLACEMENTS,
    draw_user_files,
    fill_hub,
    shrink_calls,
    small_presets,
)

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
SNIPPETS = {page: read_snippets(page) for page in PAGES}
BLOCKS = {
    page: [snippet for snippet in SNIPPETS[page] if snippet.language in RUN] for page in PAGES
}
MAX_SKIPPED = 8
BARS = "━"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hub cache with every model that a page names."""
    cache = tmp_path_factory.mktemp("hub")
    text = "".join(page.read_text("utf-8") for page in PAGES)
    fill_hub(cache, set(re.findall(r"(?:--model |load\(\")([\w.-]+)", text)))
    return cache


@pytest.fixture
def reader(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the files and models that the pages use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    draw_user_files(tmp_path)
    shrink_calls(monkeypatch)
    with small_presets():
        yield tmp_path


@pytest.mark.parametrize(
    "page", [page for page in PAGES if BLOCKS[page]], ids=lambda page: page.stem
)
def test_the_snippets_of_a_page_run(
    page: Path,
    reader: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for snippet in BLOCKS[page]:
        if snippet.skip:
            continue
        if snippet.language == "python":
            run_python(snippet, reader)
            continue
        for command in read_commands(with_replacements(snippet)):
            monkeypatch.setattr(sys, "argv", command.words)
            run_command(command, snippet, reader, capsys)


def with_replacements(snippet: Snippet) -> Snippet:
    """The snippet after `REPLACEMENTS`."""
    text = snippet.text
    for before, after in REPLACEMENTS.items():
        text = text.replace(before, after)
    return Snippet(snippet.page, snippet.line, snippet.language, text, "", snippet.exit_code)


def run_python(snippet: Snippet, folder: Path) -> None:
    """Run a Python block, and check that it writes the videos that it exports."""
    location = f"{snippet.page.name}:{snippet.line}"
    files = re.findall(r"export_to_video\(.+?\"(\S+)\", fps", snippet.text)
    for file in files:
        (folder / file).unlink(missing_ok=True)
    code = "\n" * snippet.line + with_replacements(snippet).text
    exec(compile(code, str(snippet.page), "exec"), {"__name__": "snippet"})
    for file in files:
        assert (folder / file).stat().st_size > 0, location


def run_command(
    command: Command, snippet: Snippet, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run a `filmstrip` command, and check its exit code, its file, and its output."""
    from filmstrip.cli.main import main

    location = f"{snippet.page.name}:{snippet.line}: {' '.join(command.words)}"
    assert command.words[0] == "filmstrip", location
    with pytest.raises(SystemExit) as exit_:
        main()
    printed = "".join(capsys.readouterr())
    assert int(exit_.value.code or 0) == snippet.exit_code, f"{location}\n{printed}"
    if "-o" in command.words and snippet.exit_code == 0:
        assert (folder / command.words[command.words.index("-o") + 1]).exists(), location
    expected = [line for line in command.output if line.strip() and BARS not in line]
    lines = {without_numbers(line) for line in printed.splitlines()}
    assert [line for line in expected if without_numbers(line) not in lines] == [], printed


def without_numbers(line: str) -> str:
    """A line with every number as 0, with single spaces, and after `OUTPUT_REPLACEMENTS`."""
    for before, after in OUTPUT_REPLACEMENTS.items():
        line = line.replace(before, after)
    return " ".join(re.sub(r"\d+(\.\d+)*(\+\w+)?", "0", line).split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_has_a_known_language(page: Path) -> None:
    unknown = [
        snippet.line for snippet in SNIPPETS[page] if snippet.language not in (*RUN, *NOT_RUN)
    ]
    assert unknown == []


def test_few_snippets_are_skipped() -> None:
    skipped = [snippet for blocks in BLOCKS.values() for snippet in blocks if snippet.skip]
    assert len(skipped) <= MAX_SKIPPED
