"""The base of every pipeline: its components, and how they are loaded, saved, moved and shared."""

import inspect
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from torch import nn

from filmstrip.errors import CheckpointError, InputError
from filmstrip.pipeline.denoise import Progress, ProgressBar, Step
from filmstrip.registry import PIPELINES, public
from filmstrip.weights.folder import (
    Dtypes,
    fetch_pipeline,
    load_components,
    read_index,
    save_components,
)
from filmstrip.weights.hub import Source, split_options
from filmstrip.weights.model import as_device, warn_of_pickles


class DiffusionPipeline:
    """Models, a scheduler and what else belongs to them, which together make videos.

    A pipeline's components are the arguments of its `__init__`, and its attributes. Any of them may
    be `None`; what does not need it still works.
    """

    _optional_components: ClassVar[tuple[str, ...]] = ()
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.progress: Progress = ProgressBar()
        self.name_or_path: str | None = None
        self.latents: torch.Tensor | None = None  # of a call whose decoding failed
        self._interrupt = False
        self.num_timesteps = 0  # of the call
        self.current_timestep: torch.Tensor | None = None  # what the model is told at this step

    @classmethod
    def component_names(cls) -> tuple[str, ...]:
        """The components that this class takes."""
        return tuple(inspect.signature(cls.__init__).parameters)[1:]

    @property
    def components(self) -> dict[str, Any]:
        """The components by name; `Other(**pipe.components)` is a pipeline that shares them."""
        return {name: getattr(self, name) for name in self.component_names()}

    @property
    def device(self) -> torch.device:
        """Where the models are; the accelerator, where they are on different devices."""
        devices = [module.device for module in self._modules()]
        return next((device for device in devices if device.type != "cpu"), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the first model's weights."""
        return next((module.dtype for module in self._modules()), torch.float32)

    @property
    def interrupt(self) -> bool:
        """A callback sets `_interrupt` to end the walk after its step; what there is by then is
        decoded.
        """
        return self._interrupt

    @contextmanager
    def report_progress_to(self, progress: Progress) -> Iterator[None]:
        """Within the context, report to `progress`; then again to what was there before."""
        before = self.progress
        self.progress = progress
        try:
            yield
        finally:
            self.progress = before

    _execution_device = device

    def _require(self, *names: str) -> None:
        """Refuse a call that needs a component which is not there."""
        if missing := [name for name in names if getattr(self, name) is None]:
            raise InputError(
                f"This pipeline has no {' and no '.join(missing)}, which the call needs."
            )

    def _schedule(self, **given: Any) -> torch.Tensor:
        """Make the scheduler's schedule, from what its `set_timesteps` takes; returns its
        timesteps, `(steps,)`.
        """
        scheduler = self.components["scheduler"]
        scheduler.set_timesteps(**given, device=self._execution_device)
        self.num_timesteps = len(scheduler.timesteps)
        return scheduler.timesteps

    def _advance(
        self, latents: torch.Tensor, prediction: torch.Tensor, step: Step, **options: Any
    ) -> torch.Tensor:
        """The latents of the next step, by the scheduler, whose `step` takes the options."""
        return self.components["scheduler"].step(
            prediction, step.timestep, latents, return_dict=False, **options
        )[0]

    @contextmanager
    def _keeping(self, latents: torch.Tensor, advice: str) -> Iterator[None]:
        """Around decoding: if it fails, the latents are in `pipe.latents`, and the error says what
        to try.
        """
        try:
            yield
        except Exception as error:
            self.latents = latents
            error.add_note(
                f"The sampling is not lost: its latents are in pipe.latents. Try {advice}."
            )
            raise

    def _modules(self) -> list[Any]:
        return [
            component for component in self.components.values() if isinstance(component, nn.Module)
        ]

    def to(
        self,
        *target: str | int | torch.device | torch.dtype | None,
        device: str | int | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Move the models to a device, a type, or both: `pipe.to("cuda")`, `pipe.to("cuda",
        torch.bfloat16)`.

        More than a device and a type, in that order, or one of them twice, is an InputError.
        """
        if len(target) > 2 or (len(target) == 2 and isinstance(target[0], torch.dtype)):
            raise InputError(
                f"to() was given {target}; it takes a device, a dtype, or a device and then a "
                "dtype."
            )
        types = [value for value in (*target, dtype) if isinstance(value, torch.dtype)]
        places = [value for value in (*target, device) if not isinstance(value, torch.dtype | None)]
        for kind, given in (("types", types), ("devices", places)):
            if len(given) > 1:
                raise InputError(f"to() was given two {kind}, {given[0]} and {given[1]}; give one.")
        for module in self._modules():
            module.to(device=next(iter(places), None), dtype=next(iter(types), None))
        return self

    def set_progress_bar_config(self, **options: Any) -> None:
        """Options of tqdm for the progress bars, such as `disable=True`."""
        self.progress = ProgressBar(options)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        torch_dtype: Dtypes = None,
        dtype: Dtypes = None,
        variant: str | None = None,
        device: str | torch.device | None = None,
        **options: Any,
    ) -> Self:
        """Load a pipeline from a folder in diffusers' layout, or from a repository on the Hub.

        `DiffusionPipeline.from_pretrained` makes the pipeline that the folder names.

        Args:
            torch_dtype, dtype: type of the weights, float32 by default; or a dictionary from
                component to type, with "default" for the rest.
            variant: read `*.fp16.safetensors` and the like where there are such files.
            device: where to put the models; weights go there straight from the file.
            options: `HubOptions`, and components made by hand, or `None` to go without; these are
                not loaded.

        Raises:
            CheckpointError: something is missing, damaged, or refused.
            InputError: an argument that this pipeline does not take, or a variant that no component
                has.
        """
        hub, components = split_options(options)
        name = os.fspath(pretrained_model_name_or_path)
        if cls is not DiffusionPipeline:  # which learns only from the folder what it shall be
            cls._refuse_unknown("from_pretrained", components)
        folder = fetch_pipeline(Source(name, **hub), components, variant)
        index = read_index(folder)
        if cls is DiffusionPipeline and index.class_name not in PIPELINES:
            raise CheckpointError(
                f"{name} holds a {index.class_name}, which is none of the pipelines here "
                f"({', '.join(PIPELINES)}). "
                "If one of these can use its components, call from_pretrained of that class."
            )
        kind: type[Self] = public(index.class_name) if cls is DiffusionPipeline else cls
        kind._refuse_unknown("from_pretrained", components)
        expected = kind.component_names()
        types = dtype if dtype is not None else torch_dtype
        where = as_device(device)
        loaded = load_components(
            folder, index, expected, components, dtype=types, variant=variant, device=where
        )
        loaded = dict.fromkeys(kind._optional_components) | loaded
        if missing := [key for key in expected if key not in loaded]:
            raise CheckpointError(
                f"{name} has no {', '.join(missing)}, which {kind.__name__} needs; it holds a "
                f"{index.class_name}. "
                f"Pass {missing[0]}= by hand, or None to go without."
            )
        pipe = kind(**loaded)
        pipe.name_or_path = name
        return pipe

    @classmethod
    def _refuse_unknown(cls, call: str, given: Iterable[str]) -> None:
        expected = cls.component_names()
        if unknown := [name for name in given if name not in expected]:
            raise InputError(
                f"{cls.__name__}.{call} does not take {', '.join(unknown)}; its components are "
                f"{', '.join(expected)}."
            )

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str | None = None,
    ) -> None:
        """Write the pipeline as a folder, which diffusers opens too. Arguments are those of
        `Model.save_pretrained`.
        """
        warn_of_pickles(safe_serialization)
        kind = type(self).__name__
        save_components(
            save_directory, kind, self.components, variant=variant, max_shard_size=max_shard_size
        )

    @classmethod
    def from_pipe(cls, pipeline: "DiffusionPipeline", **components: Any) -> Self:
        """A pipeline of this class that shares another one's components, but for those that are
        given.

        An InputError names components that are missing, or given but not taken.
        """
        cls._refuse_unknown("from_pipe", components)
        expected = cls.component_names()
        shared = {
            name: getattr(pipeline, name) for name in expected if hasattr(pipeline, name)
        } | components
        if missing := ", ".join(name for name in expected if name not in shared):
            raise InputError(
                f"{cls.__name__} has the components {', '.join(expected)}; {missing} must be given."
            )
        made = cls(**shared)
        made.name_or_path = pipeline.name_or_path
        return made
