"""The files, tests and public names that the pages mention exist, and the site builds."""

import re
from pathlib import Path

import pytest
import yaml

from filmstrip.registry import PUBLIC_NAMES
from tests.docs.test_snippets import PAGES, ROOT

DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "filmstrip"
# A path in backticks: folders with a slash at the end, or files of Python and other sources.
PATH = re.compile(r"`((?:[\w*]+/)+(?:[\w*]+\.(?:py|md|json))?)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_paths_that_a_page_names_exist(page: Path) -> None:
    paths = set(PATH.findall(page.read_text("utf-8"))) - {"site/", "~/"}
    missing = [
        path
        for path in sorted(paths)
        if not any([*SOURCE.glob(path), *SOURCE.glob(f"*/{path}"), *ROOT.glob(path)])
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tests_that_a_page_names_exist(page: Path) -> None:
    for file, name in TEST.findall(page.read_text("utf-8")):
        source = (ROOT / file).read_text("utf-8")
        assert not name or f"def {name}(" in source, f"{file}::{name}"


def test_the_lists_of_files_have_every_file_of_their_rooms() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    (block,) = re.findall(r"### Files of the larger rooms\n\n```text\n(.*?)```", text, re.DOTALL)
    listed: dict[Path, set[str]] = {}
    room = Path()
    for line in block.splitlines():
        opening = re.match(r"([\w/]+)/\s", f"{line} ")
        if opening is not None:
            room = SOURCE / opening[1]
        listed.setdefault(room, set()).update(re.findall(r"\w+\.py", line))
    for room, names in listed.items():
        assert names == {path.name for path in room.glob("*.py")} - {"__init__.py"}, room.name


def test_every_room_has_a_row() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    rooms = [path.parent.name for path in SOURCE.glob("*/__init__.py")]
    assert [room for room in rooms if f"| `{room}/` |" not in text] == []


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(page.read_text("utf-8") for page in (DOCS / "api").glob("*.md"))
    entries = set(re.findall(r"^::: filmstrip\.(\w+)$", text, re.MULTILINE))
    assert sorted(set(PUBLIC_NAMES) - entries) == []


def test_links_between_pages_are_valid() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_every_page_is_in_the_navigation() -> None:
    class Loader(yaml.SafeLoader):
        """Ignores tags that name Python objects."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    navigation = str(yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loader)["nav"])
    names = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert [name for name in names if f"'{name}'" not in navigation] == []


def test_the_site_builds_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    assert "LTXPipeline" in (tmp_path / "search" / "search_index.json").read_text("utf-8")
