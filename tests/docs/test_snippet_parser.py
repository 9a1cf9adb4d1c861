"""How the blocks of a page are read."""

from pathlib import Path

import pytest

from tests.docs.snippets import Command, read_commands, read_snippets


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_block_has_its_language_place_and_text_without_the_indent(tmp_path: Path) -> None:
    text = "words\n\n    ```python\n    if True:\n        pass\n    ```\n"
    (snippet,) = read_snippets(page(tmp_path, text))
    assert (snippet.language, snippet.line) == ("python", 3)
    assert snippet.text == "if True:\n    pass"


def test_a_comment_above_a_block_says_what_is_special(tmp_path: Path) -> None:
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
def test_what_cannot_be_read_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_snippets(page(tmp_path, text))


def test_commands_of_a_shell_block_go_on_after_a_backslash(tmp_path: Path) -> None:
    (snippet,) = read_snippets(page(tmp_path, '```sh\na "b c" \\\n    -d\ne\n```\n'))
    assert read_commands(snippet) == [Command(["a", "b c", "-d"], []), Command(["e"], [])]


def test_a_console_block_has_commands_after_a_dollar_and_their_output(tmp_path: Path) -> None:
    (snippet,) = read_snippets(page(tmp_path, "```console\n$ a\none\ntwo\n$ b\n```\n"))
    assert read_commands(snippet) == [Command(["a"], ["one", "two"]), Command(["b"], [])]
