"""`filmstrip.utils` has the names of `diffusers.utils`."""

import subprocess
import sys

import pytest

import filmstrip.utils


def test_the_names_of_diffusers_utils_are_there() -> None:
    from filmstrip.utils import export_to_gif, export_to_video, load_image, load_video, logging

    assert logging.get_verbosity() == logging.WARNING
    assert all(map(callable, (export_to_gif, export_to_video, load_image, load_video)))
    assert {"load_image", "logging"} <= set(dir(filmstrip.utils))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'export_to_ply'"):
        filmstrip.utils.export_to_ply  # noqa: B018


def test_nothing_is_imported_before_it_is_used() -> None:
    script = (
        "import filmstrip.utils, sys; "
        "print([m for m in ('av', 'PIL', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
