"""The code blocks of a Markdown page, and how to run them.

Blocks of `python`, `sh` and `console` are run, in the order of the page and in one folder, so that
a block may use the files of earlier ones. A comment on the line above a block changes that:

    <!-- snippet: skip: REASON -->    it is not run
    <!-- snippet: exit 2 -->          its commands end with this exit code
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

RUN = ("python", "sh", "console")
NOT_RUN = ("text", "mermaid", "powershell")

_COMMENT = re.compile(r"^\s*<!-- snippet: (?:skip: (?P<reason>.+)|exit (?P<code>\d+)) -->$")
_FENCE = re.compile(r"^(?P<indent>\s*)```(?P<language>\S*)$")


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    skip: str = ""  # why it is not run
    exit_code: int = 0


@dataclass(frozen=True)
class Command:
    """A command line, and the output that the page shows below it."""

    words: list[str]
    output: list[str]


def read_snippets(page: Path) -> list[Snippet]:
    """All fenced blocks of a page.

    Raises:
        ValueError: a block has no end, or no block follows a comment.
    """
    snippets = []
    lines = page.read_text("utf-8").splitlines()
    comment: re.Match[str] | None = None
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        if opening is None:
            if comment is not None:
                raise ValueError(f"{page}:{number}: no block follows the comment.")
            comment = _COMMENT.match(lines[number])
            if comment is None and "<!-- snippet" in lines[number]:
                raise ValueError(f"{page}:{number + 1}: the comment is not understood.")
            number += 1
            continue
        indent = opening["indent"]
        start = number + 1
        number = start
        while number < len(lines) and lines[number] != f"{indent}```":
            number += 1
        if number == len(lines):
            raise ValueError(f"{page}:{start}: the block has no end.")
        text = "\n".join(line.removeprefix(indent) for line in lines[start:number])
        skip = (comment["reason"] or "") if comment else ""
        code = int(comment["code"] or 0) if comment else 0
        snippets.append(Snippet(page, start, opening["language"], text, skip, code))
        comment = None
        number += 1
    return snippets


def read_commands(snippet: Snippet) -> list[Command]:
    """The commands of an `sh` block, or of a `console` block, where they follow a `$`.

    Raises:
        ValueError: it has none.
    """
    text = re.sub(r" *\\\n *", " ", snippet.text)
    commands: list[Command] = []
    for line in text.splitlines():
        if snippet.language == "sh":
            commands.append(Command(shlex.split(line), []))
        elif line.startswith("$ "):
            commands.append(Command(shlex.split(line[2:]), []))
        elif commands:
            commands[-1].output.append(line)
    if not commands:
        raise ValueError(f"{snippet.page}:{snippet.line}: a block without a command.")
    return commands
