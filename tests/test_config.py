"""Configs: recorded, read-only, read and written."""

import copy
import json
import pickle

import pytest
import torch
from torch import nn

from filmstrip.config import Config, Configurable
from filmstrip.errors import CheckpointError, InputError
from filmstrip.weights.model import Model
from tests.weights.samples import Steps, Tiny, tiny


def test_arguments_and_defaults_are_recorded_before_the_constructor_runs():
    steps = Steps(3, schedule="cosine")
    expected = {
        "count": 3,
        "shift": 1.0,
        "schedule": "cosine",
        "sizes": (1, 2),
        "clip": False,
        "limit": None,
    }
    assert {k: v for k, v in steps.config.items() if not k.startswith("_")} == expected
    assert steps.config_in_constructor == dict(steps.config)


def test_values_are_recorded_unchanged():
    assert Steps(sizes=(3,)).config.sizes == (3,)
    assert Steps(sizes=[3]).config.sizes == [3]


def test_a_module_has_its_config_before_torch_has_set_it_up():
    class Early(Model):
        def __init__(self, width: int = 2) -> None:
            width = self.config.width
            super().__init__()
            self.layer = nn.Linear(width, width)

    assert Early(3).layer.weight.shape == (3, 3)
    assert Early(3).config.width == 3


def test_the_repr_of_an_object_has_its_config():
    expected = "Steps(count=3, shift=1.0, schedule='linear', sizes=(1, 2), clip=False, limit=None)"
    assert repr(Steps(3)) == expected


def test_a_subclass_with_its_own_constructor_records_its_own_arguments_only():
    class More(Steps):
        def __init__(self, extra: int = 1) -> None:
            super().__init__(count=extra * 2)

    assert {k for k in More(4).config if not k.startswith("_")} == {"extra"}
    assert More(4).config.extra == 4


def test_a_subclass_without_a_constructor_records_its_parents_arguments():
    class Same(Steps):
        pass

    assert Same(count=5).config.count == 5


def test_entries_are_items_and_attributes():
    config = Steps(3).config
    assert (
        config["count"]
        == config.count
        == config.get("count")
        == {**config}["count"]
        == dict(config)["count"]
        == 3
    )
    assert config.get("absent", 7) == 7
    assert not hasattr(config, "absent")
    assert getattr(config, "absent", 8) == 8


@pytest.mark.parametrize(
    "change",
    [
        lambda c: setattr(c, "count", 1),
        lambda c: c.__setitem__("count", 1),
        lambda c: delattr(c, "count"),
        lambda c: c.__delitem__("count"),
        lambda c: c.update(count=1),
        lambda c: c.pop("count"),
        lambda c: c.popitem(),
        lambda c: c.setdefault("more", 1),
        lambda c: c.clear(),
        lambda c: c.__ior__({"count": 1}),
    ],
)
def test_a_config_cannot_be_changed_in_place(change):
    config = Steps(3).config
    with pytest.raises(InputError, match="register_to_config"):
        change(config)
    assert config.count == 3


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_configs_can_be_copied_and_pickled(duplicate):
    config = Steps(3, sizes=(4,)).config
    assert duplicate(config) == config
    assert isinstance(duplicate(config), Config)


def test_register_to_config_changes_only_the_config_of_its_object():
    changed = Steps(1)
    other = Steps(1)
    changed.register_to_config(count=2, extra="x")
    assert (changed.config.count, changed.config.extra, other.config.count) == (2, "x", 1)


def test_from_config_uses_entries_and_changes():
    loaded = Steps.from_config(Steps(3, schedule="cosine").config, schedule="linear")
    assert (loaded.config.count, loaded.config.schedule) == (3, "linear")
    assert Steps(**Steps(3).config).config.count == 3


def test_unknown_entries_are_ignored_with_one_warning_and_kept(warnings):
    loaded = Steps.from_config(
        {"count": 2, "beta": 0.1, "alpha": 1, "_class_name": "Other", "_private": 1}
    )
    assert len(warnings) == 1
    assert "alpha, beta (the config is of the class Other)" in warnings[0]
    assert (loaded.config.beta, loaded.config._class_name, loaded.config._private) == (
        0.1,
        "Steps",
        1,
    )


def test_an_unknown_change_is_warned_of_and_not_kept(warnings):
    loaded = Steps.from_config({"count": 2}, timestep_spacing="trailing")
    assert "timestep_spacing" in warnings[0]
    assert "timestep_spacing" not in loaded.config


def test_default_values_of_another_class_are_not_used():
    class Others(Configurable):
        def __init__(self, count: int = 99, shift: float = 5.0) -> None:
            pass

    loaded = Steps.from_config(Others(shift=2.0).config)
    assert (loaded.config.count, loaded.config.shift) == (10, 2.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", "28"),
        ("count", 2.5),
        ("count", True),
        ("count", None),
        ("count", [1]),
        ("shift", "1.0"),
        ("schedule", 3),
        ("schedule", None),
        ("sizes", 3),
        ("sizes", ["a"]),
        ("sizes", "12"),
        ("clip", 1),
        ("limit", "none"),
    ],
)
def test_an_entry_of_the_wrong_type_is_refused_by_name_and_value(name, value, tmp_path):
    with pytest.raises(InputError, match=f"entry {name} of Steps is .*must be of type"):
        Steps.from_config({name: value})
    (tmp_path / "scheduler_config.json").write_text(json.dumps({name: value}))
    with pytest.raises(CheckpointError, match=f"scheduler_config.json: .*entry {name} of"):
        Steps.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("shift", 2), ("limit", None), ("limit", 1), ("sizes", [3, 4]), ("sizes", [])],
)
def test_an_entry_in_the_form_that_json_gives_it_is_accepted(name, value):
    assert Steps.from_config({name: value}).config[name] == value


@pytest.mark.parametrize("config", ["path/to/model", None, ["count"]])
def test_only_a_mapping_is_a_config(config):
    with pytest.raises(InputError, match="from_pretrained"):
        Steps.from_config(config)


def test_a_config_is_written_and_read_back(tmp_path):
    steps = Steps(3, sizes=(4, 5), limit=0.5)
    steps.save_pretrained(tmp_path / "new" / "folder")
    file = tmp_path / "new" / "folder" / "scheduler_config.json"
    written = json.loads(file.read_text())
    assert written["_class_name"] == "Steps"
    assert written["sizes"] == [4, 5]
    read = Steps.from_pretrained(tmp_path / "new", subfolder="folder", shift=3.0)
    assert (read.config.count, read.config.sizes, read.config.limit, read.config.shift) == (
        3,
        [4, 5],
        0.5,
        3.0,
    )
    assert Steps.load_config(str(tmp_path / "new"), subfolder="folder") == written
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def written(steps, folder):
    steps.save_config(folder)
    return json.loads((folder / "scheduler_config.json").read_text())


def test_private_entries_are_not_written(tmp_path):
    steps = Steps(3)
    steps.register_to_config(_name_or_path="/home/someone/models")
    assert set(written(steps, tmp_path)) == {
        *(k for k in steps.config if not k.startswith("_")),
        "_class_name",
    }


def test_arrays_and_paths_are_written_as_lists_and_text(tmp_path):
    steps = Steps()
    steps.register_to_config(values=torch.arange(3), path=tmp_path)
    entries = written(steps, tmp_path)
    assert (entries["values"], entries["path"]) == ([0, 1, 2], tmp_path.as_posix())
    steps.register_to_config(dtype=torch.float32)
    with pytest.raises(InputError, match="JSON"):
        steps.save_config(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"7", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_file_without_a_json_object_is_refused_by_name(content, tmp_path):
    (tmp_path / "scheduler_config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"scheduler_config\.json"):
        Steps.from_pretrained(tmp_path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"no file .*scheduler_config\.json"):
        Steps.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no folder"):
        Steps.from_pretrained(tmp_path / "absent")


def test_saving_to_a_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        Steps().save_config(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be made"):
        Steps().save_config(tmp_path / "file" / "below")


def test_a_compiled_model_may_read_its_config():
    model = tiny()
    x = torch.randn(2, 4)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), model(x))


def test_the_signature_of_a_class_is_unchanged():
    import inspect

    assert list(inspect.signature(Tiny).parameters) == ["width", "widths"]
