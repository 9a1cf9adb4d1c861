"""The mutation tool finds mutations, and reports which of them no test catches."""

import json
from pathlib import Path

import pytest

from tools.mutate.__main__ import main
from tools.mutate.mutations import find_mutations
from tools.mutate.rooms import ROOMS

ROOT = Path(__file__).parents[2]
FILE = Path("module.py")


def changes(source: str) -> dict[str, str]:
    """The mutated source by operator; these tests have one mutation for each."""
    mutations = find_mutations(FILE, source.encode())
    return {mutation.operator: mutation.apply(source.encode()).decode() for mutation in mutations}


@pytest.mark.parametrize(
    ("source", "operator", "changed"),
    [
        ("a = b == c", "comparison", "a = b != c"),
        ("a = (b) is (c)", "comparison", "a = (b) is not (c)"),
        ("a = b + (c * d)", "arithmetic", "a = b + (c / d)"),
        ("a = b ** c", "arithmetic", "a = b * c"),
        ("a = b and c", "boolean", "a = b or c"),
        ("a = not b", "removed operator", "a = (b)"),
        ("a = b if c else d", "negated condition", "a = b if (not (c)) else d"),
        ("a = [b for b in c if d]", "negated condition", "a = [b for b in c if (not (d))]"),
        ("a = True", "constant", "a = False"),
        ("a = 7", "constant", "a = 8"),
        ("a = 0.5", "constant", "a = 0.75"),
        ("def f(a: int = 2): return a", "constant", "def f(a: int = 3): return a"),
        ("f(a)", "removed call", "pass"),
        ("a = b.clamp(c)", "removed call", "a = (b)"),
        ("a += b", "removed statement", "pass"),
        ("def f(a): a.b = c", "removed statement", "def f(a): pass"),
        ("a = f(b, c)", "swapped arguments", "a = f(c, b)"),
        ("a = b[c:]", "slice", "a = b[(c) + 1:]"),
        ("raise ValueError(a)", "removed raise", "pass"),
    ],
)
def test_each_operator_has_a_mutation(source: str, operator: str, changed: str) -> None:
    assert changes(source)[operator] == changed


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring with 1 number."""',
        "a: Literal[3] | None",
        "def f(a: tuple[int, 3]): ...",
        "logger.warning('%d', 3)",
        "a = f'{b + 1}'",
        "if TYPE_CHECKING:\n    a = 1",
        "a = b.to(c)",
        "a = max(b, c)",
        "a = zip(b, strict=True)",
        "def __repr__(self): return 1",
    ],
)
def test_texts_and_annotations_have_no_mutations(source: str) -> None:
    assert find_mutations(FILE, source.encode()) == []


def test_offsets_are_in_bytes() -> None:
    source = "a = 'é' if b else 1"
    assert changes(source)["constant"] == "a = 'é' if b else 2"


def test_a_mutation_knows_the_functions_around_it() -> None:
    source = (
        b"@cache\ndef f():\n    def g():\n        return 1\n    return g\nA = 1\nB = lambda: 1\n"
    )
    mutations = find_mutations(FILE, source)
    assert [(mutation.line, mutation.scopes) for mutation in mutations] == [
        (4, (1, 3)),
        (6, ()),
        (7, (7,)),
    ]


def test_every_room_has_its_package_and_its_tests() -> None:
    for room, tests in ROOMS.items():
        assert (ROOT / "src" / "filmstrip" / room).is_dir()
        for test in tests:
            assert (ROOT / test).exists(), test


SOURCE = """
def size(length):
    if length > 3:
        return length - 3
    return 0

def unused():
    return 1

def wait(steps):
    while steps > 0:
        steps -= 1
"""
TESTS = """
import os
import measured

def test_size():
    assert os.path.basename(measured.__file__) == "measured.py"
    assert measured.size(5) == 2
    assert measured.size(3) == 0

def test_wait():
    measured.wait(2)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "measured.py").write_text(SOURCE)
    (tmp_path / "test_measured.py").write_text(TESTS)
    return tmp_path


def run(project: Path, *options: str) -> dict[str, str]:
    """The status of each mutation, by line and new text."""
    out = project / "report.json"
    package = ["--package", "src", "--tests", "test_measured.py"]
    main([*package, "--out", str(out), *options])
    return {f"{row['line']}: {row['after']}": row["status"] for row in json.loads(out.read_text())}


def test_mutations_are_caught_or_survive(project: Path) -> None:
    status = run(project, "--jobs", "2", "--limit", "8")
    assert status["4:  + "] == "caught"
    assert status["3:  <= "] == "caught"
    assert status["3: 4"] == "survived"  # sizes 5 and 3 do not tell 3 from 4
    assert status["3:  >= "] == "survived"  # 3 - 3 is 0: the same function
    assert status["8: 2"] == "survived"  # nothing calls it
    assert status["12: pass"] == "timed out"
    assert (project / "src" / "measured.py").read_text() == SOURCE


def test_tests_that_fail_without_a_mutation_are_left_out(project: Path) -> None:
    file = project / "test_measured.py"
    file.write_text(TESTS + "\ndef test_wrong():\n    assert measured.unused() == 0\n")
    assert run(project, "--only", "py:8")["8: 2"] == "survived"
    file.write_text("def test_wrong():\n    assert False\n")
    with pytest.raises(RuntimeError, match="No test passes without any mutation"):
        run(project)


def test_a_sample_is_the_same_for_the_same_seed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = []
    for seed in ("1", "1", "2"):
        assert main(["--package", "src", "--sample", "4", "--seed", seed, "--list"]) == 0
        listed.append(capsys.readouterr().out.splitlines())
    assert len(listed[0]) == 4
    assert listed[0] == listed[1] != listed[2]
