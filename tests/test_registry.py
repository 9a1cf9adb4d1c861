"""The table of public names, and the names that the package exports."""

import ast
import inspect
from pathlib import Path

import pytest

import filmstrip
from filmstrip import registry
from filmstrip.ltx import layouts
from filmstrip.weights.model import Model


def imports_for_type_checkers() -> dict[str, str]:
    """The names that `__init__.py` imports under TYPE_CHECKING, and their modules."""
    tree = ast.parse(Path(filmstrip.__file__).read_text())
    names = {}
    for statement in tree.body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            for node in statement.body:
                assert isinstance(node, ast.ImportFrom)
                for alias in node.names:
                    assert alias.asname == alias.name  # which tells type checkers that it is public
                    names[alias.name] = str(node.module)
    return names


def test_type_checkers_see_the_names_of_the_registry() -> None:
    assert imports_for_type_checkers() == dict(registry.PUBLIC_NAMES)


def test_the_package_offers_the_names_of_the_registry_and_no_others() -> None:
    assert set(filmstrip.__all__) == {*registry.PUBLIC_NAMES, "__version__"}
    assert dir(filmstrip) == sorted(filmstrip.__all__)


def test_pipelines_and_components_are_public() -> None:
    assert set(registry.PIPELINES) <= set(registry.PUBLIC_NAMES)
    for (library, name), row in registry.COMPONENT_CLASSES.items():
        assert library == "transformers" or registry.PUBLIC_NAMES[name] == row.module


@pytest.mark.parametrize("name", registry.ORIGINAL_LAYOUT_READERS)
def test_a_class_and_its_subclasses_have_the_same_reader_of_original_layouts(name) -> None:
    model_class = registry.public(name)
    assert issubclass(model_class, Model)
    reader = registry.original_layout_reader(model_class)
    assert reader in [function for _, function in inspect.getmembers(layouts)]
    assert registry.original_layout_reader(type("Derived", (model_class,), {})) is reader


def test_a_class_without_an_original_layout_has_no_reader() -> None:
    svd = registry.public("UNetSpatioTemporalConditionModel")
    assert registry.original_layout_reader(svd) is None
