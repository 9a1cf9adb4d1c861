"""`--prompt-at TIME PROMPT`, an option that takes two values."""

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

from filmstrip.jobs.request import TimedPrompt

OPTION = "--prompt-at"


class CommandWithPairs(TyperCommand):
    """A command whose option `--prompt-at` takes two values and can be repeated.

    typer has no type for such an option.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the two values of each `--prompt-at` to one argument."""
        end = args.index("--") if "--" in args else len(args)
        words = iter(args[:end])
        joined = []
        for word in words:
            if word == OPTION:
                time = next(words, "")
                prompt = next(words, "")
                joined.append(f"{OPTION}={time} {prompt}")
            else:
                joined.append(word)
        return super().parse_args(ctx, [*joined, *args[end:]])


def parse_prompts(pairs: Sequence[str] | None) -> tuple[TimedPrompt, ...]:
    """Split what `CommandWithPairs` has joined into times and prompts."""
    prompts = []
    for pair in pairs or ():
        time, _, prompt = pair.partition(" ")
        prompts.append(TimedPrompt(time, prompt))
    return tuple(prompts)
