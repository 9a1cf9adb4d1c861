"""Reading the code blocks of a page."""

from pathlib import Path

import pytest

from tests.docs.snippets import Command, read_commands, read_snippets


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_block_has_its_language_line_and_text_without_the_indent(tmp_path: Path) -> None:
    text = "words\n\n    ```python\n    if True:\n        pass\n    ```\n"
    (snippet,) = read_snippets(page(tmp_path, text))
    assert (snippet.language, snippet.line) == ("python", 3)
    assert snippet.text == "if True:\n    pass"


def test_a_comment_above_a_block_skips_it_or_sets_its_exit_code(tmp_path: Path) -> None:
    text = (
        "<!-- snippet: skip: installs -->\n```sh\na\n```\n<!-- snippet: exit 2 -->\n```sh\nb\n```\n"
    )
    first, second = read_snippets(page(tmp_path, text))
    assert (first.skip, first.exit_code) == ("installs", 0)
    assert (second.skip, second.exit_code) == ("", 2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```python\npass\n", "has no end"),
        ("<!-- snippet: exit 2 -->\n\n```sh\na\n```\n", "no block follows"),
        ("<!-- snippet: later -->\n```sh\na\n```\n", "not understood"),
    ],
)
def test_bad_blocks_and_comments_are_errors(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_snippets(page(tmp_path, text))


def test_a_backslash_continues_a_command(tmp_path: Path) -> None:
    (snippet,) = read_snippets(page(tmp_path, '```sh\na "b c" \\\n    -d\ne\n```\n'))
    assert read_commands(snippet) == [Command(["a", "b c", "-d"], []), Command(["e"], [])]


def test_a_console_block_has_commands_after_a_dollar_and_their_output(tmp_path: Path) -> None:
    (snippet,) = read_snippets(page(tmp_path, "```console\n$ a\none\ntwo\n$ b\n```\n"))
    assert read_commands(snippet) == [Command(["a"], ["one", "two"]), Command(["b"], [])]
