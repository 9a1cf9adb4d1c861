"""Runs the tests once to learn which functions they call, then once for each mutation."""

import compileall
import importlib
import json
import os
import py_compile
import shutil
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tools.mutate.mutations import Mutation

CAUGHT = "caught"
SURVIVED = "survived"
TIMED_OUT = "timed out"
FEW = 5  # functions, such as those of lazy imports
OUTCOMES = {
    pytest.ExitCode.OK: SURVIVED,
    pytest.ExitCode.TESTS_FAILED: CAUGHT,
    pytest.ExitCode.INTERRUPTED: CAUGHT,  # a test file cannot be imported
    pytest.ExitCode.USAGE_ERROR: CAUGHT,  # conftest.py cannot be imported
    pytest.ExitCode.NO_TESTS_COLLECTED: SURVIVED,  # parameters have other names now
}


@dataclass(frozen=True)
class Result:
    """The outcome of a mutation."""

    mutation: Mutation
    status: str
    seconds: float
    tests: int  # how many tests were chosen
    caught_by: str = ""


@dataclass
class Calls:
    """What the tests call and how long they take, by node id."""

    functions: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)  # that the tests import, of other packages

    def tests_of(self, mutation: Mutation, budget: float) -> list[str]:
        """The fastest tests that call a function around a mutation, else one of its file or few.

        Their times add up to `budget` seconds at most, but at least one test is chosen.
        """
        file = str(mutation.file)
        enclosing = {(file, line) for line in mutation.scopes}
        calling = [test for test, called in self.functions.items() if called & enclosing]
        if not calling:  # an import runs it; a test that calls nothing may inspect it
            calling = [
                test
                for test, called in self.functions.items()
                if len(called) < FEW or any(path == file for path, _ in called)
            ]
        chosen: list[str] = []
        total = 0.0
        for test in sorted(calling, key=lambda test: self.seconds[test]):
            total += self.seconds[test]
            if chosen and total > budget:
                break
            chosen.append(test)
        return chosen


class CallRecorder:
    """A pytest plugin that records which functions of a folder each test calls.

    Calls of fixtures count for all tests of their file, since tests may share them.
    """

    def __init__(self, folder: Path) -> None:
        self.prefix = f"{folder}{os.sep}"
        self.calls = Calls()
        self.of_fixtures: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self.current: set[tuple[str, int]] = set()

    def trace(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self.prefix):
            self.current.add((code.co_filename.removeprefix(self.prefix), code.co_firstlineno))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        with self.recording(self.of_fixtures[item.nodeid.partition("::")[0]]):
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        start = time.perf_counter()
        called: set[tuple[str, int]] = set()
        with self.recording(called):
            yield
        self.calls.functions[item.nodeid] = called  # not of a test that fails
        self.calls.seconds[item.nodeid] = time.perf_counter() - start

    def recording(self, functions: set[tuple[str, int]]) -> "_Tracing":
        self.current = functions
        return _Tracing(self.trace)

    def finish(self, known: set[str]) -> Calls:
        """The calls, with those of the fixtures, and the modules that are not in `known`."""
        for test, functions in self.calls.functions.items():
            functions |= self.of_fixtures[test.partition("::")[0]]
        self.calls.modules = [name for name in sys.modules if name not in known]
        return self.calls


class _Tracing:
    def __init__(self, trace: Callable[[FrameType, str, Any], None]) -> None:
        self.trace = trace

    def __enter__(self) -> None:
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        threading.settrace(None)


class Selection:
    """A pytest plugin that runs only some tests, in their order, and records the first failure."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.order = {test: position for position, test in enumerate(tests)}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self.order]
        items.sort(key=lambda item: self.order[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = f"collecting {report.nodeid}"


class Runner:
    """Runs tests on copies of a source folder, each run in a forked process.

    Args:
        source: the folder that holds the package, such as `src`; it is never changed.
        tests: files or folders of tests, or other arguments of pytest that choose them.
        work: an empty folder for the copies and for what the processes write.
        jobs: how many mutations are tried at a time.
        budget: seconds of tests, at most, that are chosen for a mutation.
        limit: seconds after which a mutation has timed out, beyond four times those of its tests.
    """

    def __init__(
        self,
        source: Path,
        tests: Sequence[str],
        work: Path,
        jobs: int = 1,
        budget: float = 60.0,
        limit: float = 20.0,
    ) -> None:
        self.source = source
        self.tests = list(tests)
        self.work = work
        self.budget = budget
        self.limit = limit
        self.packages = {path.stem for path in source.iterdir() if not path.name.startswith("_")}
        self.copies = [self._copy(work / f"copy{number}") for number in range(jobs)]

    def _copy(self, folder: Path) -> Path:
        shutil.copytree(self.source, folder, ignore=shutil.ignore_patterns("__pycache__"))
        checked = py_compile.PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(folder, quiet=2, invalidation_mode=checked)
        return folder

    def record(self) -> Calls:
        """Run all tests once; those that fail without any mutation are left out.

        Raises:
            RuntimeError: no test passes.
        """
        known = set(sys.modules)
        answer = self.work / "calls.json"

        def work() -> None:
            recorder = CallRecorder(self.copies[0])
            _pytest([*self.tests], recorder)
            calls = recorder.finish(known)
            functions = {test: sorted(called) for test, called in calls.functions.items()}
            answer.write_text(json.dumps([functions, calls.seconds, calls.modules]))

        process = self._fork(self.copies[0], work, self.work / "record.log")
        os.waitpid(process, 0)
        log = (self.work / "record.log").read_text()
        if not answer.exists():
            raise RuntimeError(f"The tests cannot be run:\n{log[-3000:]}")
        functions, seconds, modules = json.loads(answer.read_text())
        calls = Calls({test: {(f, n) for f, n in c} for test, c in functions.items()}, seconds)
        calls.modules = [name for name in modules if self._is_library(name)]
        if not functions:
            raise RuntimeError(f"No test passes without any mutation:\n{log[-3000:]}")
        outside = [test for test in functions if not Path(test.partition("::")[0]).exists()]
        if outside:
            raise RuntimeError(f"{outside[0]} is not below the folder that this was started in.")
        return calls

    def _is_library(self, name: str) -> bool:
        root = name.partition(".")[0]
        return root not in self.packages | {"tests", "tools", "conftest"}

    def preload(self, calls: Calls) -> None:
        """Import the other packages that the tests import, once for all forks."""
        for name in calls.modules:
            try:
                importlib.import_module(name)
            except Exception:  # some modules exist only once others have run
                continue
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(1)  # a fork does not have the threads of its parent

    def run(self, mutations: Sequence[Mutation], calls: Calls) -> Iterator[Result]:
        """Try mutations, with as many processes at a time as there are copies."""
        waiting = list(mutations)
        free = list(self.copies)
        running: dict[int, _Trial] = {}
        while waiting or running:
            while waiting and free:
                mutation = waiting.pop(0)
                tests = calls.tests_of(mutation, self.budget)
                limit = self.limit + 4 * sum(calls.seconds[test] for test in tests)
                trial = self._start(mutation, tests, free.pop(), limit)
                running[trial.process] = trial
            for trial in list(running.values()):
                result = trial.poll()
                if result is not None:
                    del running[trial.process]
                    free.append(trial.copy)
                    yield result
            time.sleep(0.02)

    def _start(
        self, mutation: Mutation, tests: Sequence[str], copy: Path, limit: float
    ) -> "_Trial":
        file = copy / mutation.file
        original = file.read_bytes()
        answer = self.work / f"{copy.name}.answer"
        answer.unlink(missing_ok=True)
        file.write_bytes(mutation.apply(original))

        def work() -> None:
            selection = Selection(tests)
            files = dict.fromkeys(test.partition("::")[0] for test in tests)
            code = int(_pytest([*files, "-x"], selection))
            answer.write_text(json.dumps([code, selection.failed]))

        process = self._fork(copy, work, self.work / f"{copy.name}.log")
        return _Trial(mutation, len(tests), copy, process, answer, original, limit)

    def _fork(self, copy: Path, work: Callable[[], None], log: Path) -> int:
        """A process, leader of its group, that does `work` with the copy's package on the path."""
        sys.stdout.flush()
        process = os.fork()
        if process:
            return process
        try:
            os.setsid()
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.dont_write_bytecode = True
            sys.path.insert(0, str(copy))
            paths = [str(copy), os.environ.get("PYTHONPATH", "")]
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
            work()
            sys.stdout.flush()
        finally:
            os._exit(0)


@dataclass
class _Trial:
    """A process that tries a mutation."""

    mutation: Mutation
    tests: int
    copy: Path
    process: int
    answer: Path
    original: bytes
    limit: float
    start: float = field(default_factory=time.monotonic)

    def poll(self) -> Result | None:
        """The result if there is one; the copy is restored then."""
        seconds = time.monotonic() - self.start
        ended, _ = os.waitpid(self.process, os.WNOHANG)
        if not ended and seconds < self.limit:
            return None
        if not ended:
            os.killpg(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        (self.copy / self.mutation.file).write_bytes(self.original)
        if not ended:
            return Result(self.mutation, TIMED_OUT, seconds, self.tests)
        if not self.answer.exists():
            return Result(self.mutation, CAUGHT, seconds, self.tests, "the process ended")
        code, caught_by = json.loads(self.answer.read_text())
        if code not in OUTCOMES:
            raise RuntimeError(f"pytest ended with exit status {code} on {self.mutation}")
        return Result(self.mutation, OUTCOMES[code], seconds, self.tests, caught_by)


def _pytest(arguments: list[str], plugin: object) -> int | pytest.ExitCode:
    quiet = ["-q", "-p", "no:cacheprovider", "--tb=line", "--rootdir=."]
    quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return pytest.main([*arguments, *quiet], plugins=[plugin])
