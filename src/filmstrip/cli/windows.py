"""`--prompt-at TIME PROMPT`, an option of two words."""

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

from filmstrip.jobs.request import TimedPrompt

OPTION = "--prompt-at"


class CommandWithPairs(TyperCommand):
    """A command whose option `--prompt-at` takes two words each time, for which typer has no
    type.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the two words to one."""
        end = args.index("--") if "--" in args else len(args)
        words = iter(args[:end])
        joined = [
            word if word != OPTION else f"{word}={next(words, '')} {next(words, '')}"
            for word in words
        ]
        return super().parse_args(ctx, [*joined, *args[end:]])


def parse_prompts(pairs: Sequence[str] | None) -> tuple[TimedPrompt, ...]:
    """The times and prompts of pairs that `CommandWithPairs` has joined."""
    prompts = []
    for pair in pairs or ():
        time, _, prompt = pair.partition(" ")
        prompts.append(TimedPrompt(time, prompt))
    return tuple(prompts)
