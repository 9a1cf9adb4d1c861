"""Write a picture for the embedded SVD model.

python -m tools.demo_clips picture.png --direction up-left
"""

from __future__ import annotations

import argparse

from tools.demo_clips.pointers import POINTER_ATTRIBUTES, draw_picture


def main() -> None:
    """Parse the command line and write the picture."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_clips", description=__doc__)
    parser.add_argument("file", help="PNG to write")
    defaults = ("red", "arrow", "white", "right", "large")
    for (name, allowed), default in zip(POINTER_ATTRIBUTES.items(), defaults, strict=True):
        parser.add_argument(f"--{name}", choices=allowed, default=default)
    parser.add_argument("--seed", type=int, default=0, help="seed of the position")
    arguments = vars(parser.parse_args())
    draw_picture(**{name: value for name, value in arguments.items() if name != "file"}).save(
        arguments["file"]
    )


if __name__ == "__main__":
    main()
