"""The command: choose mutations of a part of the package, try them, and report the survivors."""

import argparse
import json
import os
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tools.mutate.mutations import Mutation, find_mutations
from tools.mutate.rooms import QUICK, ROOMS
from tools.mutate.runner import CAUGHT, TIMED_OUT, Result, Runner

os.environ["HF_HUB_OFFLINE"] = "1"  # before the first import of huggingface_hub


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutate", description=__doc__)
    parser.add_argument("--source", type=Path, default=Path("src"), help="folder of the package")
    parser.add_argument("--package", type=Path, help="folder or file to change")
    parser.add_argument(
        "--room", choices=ROOMS, help="a part of the package, instead of --package and --tests"
    )
    parser.add_argument("--tests", nargs="+", default=[], help="files or folders of tests")
    parser.add_argument("-k", dest="keyword", help="choose tests as `pytest -k` does")
    parser.add_argument("--sample", type=int, help="how many mutations to try; all by default")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel processes")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of tests for each")
    parser.add_argument(
        "--limit",
        type=float,
        default=20.0,
        help="seconds until a timeout, beyond four times those of the tests",
    )
    parser.add_argument(
        "--only", default="", help="only mutations that match this regular expression"
    )
    parser.add_argument("--list", action="store_true", help="name the mutations and stop")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    options = parser.parse_args(arguments)
    if options.room:
        options.package = options.package or options.source / "filmstrip" / options.room
        options.tests = options.tests or list(ROOMS[options.room])
        options.keyword = options.keyword or QUICK
    if options.package is None or not (options.tests or options.list):
        parser.error("give --room, or --package and --tests")
    return options


def choose(options: argparse.Namespace) -> list[Mutation]:
    """The mutations to try, a random sample of all."""
    package: Path = options.package
    files = [package] if package.is_file() else sorted(package.rglob("*.py"))
    mutations = [
        mutation
        for file in files
        for mutation in find_mutations(file.relative_to(options.source), file.read_bytes())
    ]
    mutations = [mutation for mutation in mutations if re.search(options.only, str(mutation))]
    if options.sample is not None and options.sample < len(mutations):
        mutations = random.Random(options.seed).sample(mutations, options.sample)
    return sorted(mutations, key=lambda mutation: (mutation.file, mutation.start, mutation.after))


def write(file: Path, results: Sequence[Result]) -> None:
    """Write the results as JSON."""
    rows = [
        asdict(result.mutation)
        | {"file": str(result.mutation.file), "status": result.status}
        | {"seconds": round(result.seconds, 2), "tests": result.tests}
        | {"caught_by": result.caught_by}
        for result in results
    ]
    file.write_text(json.dumps(rows, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a mutation survived."""
    options = parse(arguments)
    mutations = choose(options)
    if options.list:
        print(*mutations, sep="\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        work = Path(folder).resolve()
        keyword = ["-k", options.keyword] if options.keyword else []
        runner = Runner(
            options.source,
            [*options.tests, *keyword],
            work,
            options.jobs,
            options.budget,
            options.limit,
        )
        calls = runner.record()
        total = sum(calls.seconds.values())
        print(f"{len(mutations)} mutations; {len(calls.functions)} tests in {total:.0f} s")
        runner.preload(calls)
        results = []
        for result in runner.run(mutations, calls):
            results.append(result)
            print(f"{result.status} ({result.seconds:.1f} s): {result.mutation}", flush=True)
    if options.out:
        write(options.out, results)
    counts = Counter(result.status for result in results)
    print(", ".join(f"{count} {status}" for status, count in counts.most_common()))
    return 0 if all(result.status in (CAUGHT, TIMED_OUT) for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
