"""The rooms of the package import each other in one direction only.

`cli, server -> jobs -> presets -> ltx, svd -> pipeline -> nn, encoders, schedulers, weights, media`
"""

import ast
from pathlib import Path

import pytest

import filmstrip

ROOT = Path(filmstrip.__file__).parent

# Modules at the root that every room may import. They import no room, but for those named below.
HELPERS = {"config", "errors", "files", "logging", "outputs", "registry", "version"}
# Modules in nn that every room may import, too: random numbers, and a type of the outputs.
HELPERS_IN_NN = {"nn.noise", "nn.gaussian"}
# The few imports of a module in a room by a module at the root.
HELPER_IMPORTS = {
    ("config", "weights.hub"),  # a config is read from the Hub
    ("registry", "weights.tensor_source"),  # a type
    ("utils", "media.export"),  # types, of names that diffusers has in its utils
    ("utils", "media.load"),
    ("__main__", "cli.main"),
}
# What each room may import, besides itself and the helpers.
ROOMS = {
    "nn": {"kernels"},  # from nn/ops.py alone
    "kernels": set[str](),
    "schedulers": set[str](),
    "weights": set[str](),
    "media": set[str](),
    "demo": set[str](),
    "encoders": {"nn", "weights", "media"},
    "pipeline": {"nn", "encoders", "schedulers", "weights", "media"},
}
ROOMS["ltx"] = ROOMS["svd"] = ROOMS["pipeline"] | {"pipeline"}
ROOMS["runtime"] = ROOMS["pipeline"]
ROOMS["presets"] = ROOMS["ltx"] | {"ltx", "svd", "demo", "runtime"}
ROOMS["jobs"] = ROOMS["presets"] | {"presets"}
ROOMS["cli"] = ROOMS["server"] = ROOMS["jobs"] | {"jobs"}
# The only helpers that `nn` and `schedulers` import.
PLAIN_HELPERS = {"config", "errors", "logging", "outputs"}


def module_name(file: Path) -> str:
    """The name below filmstrip: "ltx.models.transformer"; "" for the package itself."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted(ROOT.rglob("*.py"))}


def imports(file: Path) -> list[str]:
    """The modules of filmstrip that a file imports, at any depth; "" for the package."""
    imported = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, module = name.partition(".")
            if package != "filmstrip":
                continue
            if module not in MODULES:  # a name in a module
                module = module.rpartition(".")[0]
            imported.append(module)
    return imported


ARROWS = [
    (importer, imported)
    for importer, file in MODULES.items()
    if importer
    for imported in imports(file)
]


def room(module: str) -> str:
    return module.partition(".")[0]


def is_allowed(module: str, rooms: set[str]) -> bool:
    return room(module) in rooms or module in HELPERS_IN_NN


def show(arrows: list[tuple[str, str]]) -> list[str]:
    return [f"{importer} imports {imported or 'filmstrip'}" for importer, imported in arrows]


def test_the_sources_were_read() -> None:
    assert ("ltx.models.transformer", "weights.model") in ARROWS
    assert {room(importer) for importer, _ in ARROWS} > {"cli", "presets", "ltx", "svd", "weights"}


def test_nothing_below_the_package_root_imports_it() -> None:
    assert show([arrow for arrow in ARROWS if arrow[1] == ""]) == []


def test_every_module_is_in_a_known_room() -> None:
    unknown = {room(module) for module in MODULES} - ROOMS.keys() - HELPERS
    assert unknown <= {"", "utils", "__main__"}


def test_helpers_import_no_room() -> None:
    wrong = [
        (importer, imported)
        for importer, imported in ARROWS
        if room(importer) not in ROOMS
        and imported
        and not is_allowed(imported, HELPERS)
        and (importer, imported) not in HELPER_IMPORTS
    ]
    assert show(wrong) == []


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_rooms_that_are_further_down(name: str) -> None:
    allowed = ROOMS[name] | HELPERS | {name}
    wrong = [
        (importer, imported)
        for importer, imported in ARROWS
        if room(importer) == name and imported and not is_allowed(imported, allowed)
    ]
    assert show(wrong) == []


@pytest.mark.parametrize("name", ["nn", "schedulers"])
def test_the_rooms_of_plain_mathematics_import_plain_helpers(name: str) -> None:
    allowed = ROOMS[name] | PLAIN_HELPERS | {name}
    wrong = [
        (importer, imported)
        for importer, imported in ARROWS
        if room(importer) == name and imported and not is_allowed(imported, allowed)
    ]
    assert show(wrong) == []


def test_only_nn_ops_imports_kernels() -> None:
    wrong = [
        (importer, imported)
        for importer, imported in ARROWS
        if room(imported) == "kernels" and room(importer) != "kernels" and importer != "nn.ops"
    ]
    assert show(wrong) == []


def test_models_know_no_layouts_of_files_and_no_pipelines() -> None:
    wrong = [
        (importer, imported)
        for importer, imported in ARROWS
        if importer.startswith(("ltx.models", "svd.models"))
        and imported.startswith(("ltx.layouts", "ltx.pipelines", "svd.pipelines", "pipeline"))
    ]
    assert show(wrong) == []
