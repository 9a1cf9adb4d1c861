"""The base class of pipelines: loads, saves, moves and shares their components."""

import inspect
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from torch import nn

from filmstrip.errors import CheckpointError, InputError
from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.progress import Progress, ProgressBar
from filmstrip.registry import PIPELINES, public
from filmstrip.weights.device_and_dtype import as_device
from filmstrip.weights.folder import Dtypes, load_components, save_components
from filmstrip.weights.hub import CheckpointLocation, split_options
from filmstrip.weights.pipeline_index import fetch_pipeline, read_index
from filmstrip.weights.weight_files import warn_of_pickles


class DiffusionPipeline:
    """The models, the scheduler and the processors that together make videos.

    The components of a pipeline are the arguments of its `__init__`, and have attributes of the
    same names. A component may be `None`; calls that do not need it still work.
    """

    _optional_components: ClassVar[tuple[str, ...]] = ()
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.progress: Progress = ProgressBar()
        self.name_or_path: str | None = None
        self.latents: torch.Tensor | None = None  # of a call whose decoding failed
        self.num_timesteps = 0  # of the running call
        self.current_timestep: torch.Tensor | None = None  # of the running step
        self._interrupt = False
        # The device to compute on; set by code that keeps the weights on another one (offloading).
        self.execution_device: torch.device | None = None

    @classmethod
    def component_names(cls) -> tuple[str, ...]:
        """The names of the components that this class takes, in order."""
        return tuple(inspect.signature(cls.__init__).parameters)[1:]

    @property
    def components(self) -> dict[str, Any]:
        """The components by name; `Other(**pipe.components)` is a pipeline that shares them."""
        return {name: getattr(self, name) for name in self.component_names()}

    @property
    def device(self) -> torch.device:
        """The device of the models; if there are several, an accelerator rather than the CPU."""
        devices = [module.device for module in self._modules()]
        accelerators = [device for device in devices if device.type != "cpu"]
        return accelerators[0] if accelerators else torch.device("cpu")

    @property
    def _execution_device(self) -> torch.device:
        """The device that calls compute on: `execution_device` if it is set, else `device`."""
        return self.execution_device or self.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first model's weights; float32 without models."""
        return next((module.dtype for module in self._modules()), torch.float32)

    @property
    def interrupt(self) -> bool:
        """Whether the call stops after the running step and decodes its latents.

        A callback sets `_interrupt`.
        """
        return self._interrupt

    @contextmanager
    def report_progress_to(self, progress: Progress) -> Iterator[None]:
        """Report to `progress` within the context, and to the previous object after it."""
        previous = self.progress
        self.progress = progress
        try:
            yield
        finally:
            self.progress = previous

    def _require(self, *names: str) -> None:
        """Raise an `InputError` if one of these components is missing."""
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            raise InputError(
                f"This pipeline has no {' and no '.join(missing)}, which the call needs."
            )

    def _set_schedule(self, **schedule: Any) -> torch.Tensor:
        """Set the scheduler's schedule, by arguments of its `set_timesteps`.

        Returns:
            The timesteps, `(num_steps,)`.
        """
        scheduler = self.components["scheduler"]
        scheduler.set_timesteps(**schedule, device=self._execution_device)
        self.num_timesteps = len(scheduler.timesteps)
        timesteps: torch.Tensor = scheduler.timesteps
        return timesteps

    def _scheduler_step(
        self, latents: torch.Tensor, prediction: torch.Tensor, step: Step, **options: Any
    ) -> torch.Tensor:
        """The latents at the next noise level, from the scheduler's `step` with these options."""
        scheduler = self.components["scheduler"]
        stepped: torch.Tensor = scheduler.step(
            prediction, step.timestep, latents, return_dict=False, **options
        )[0]
        return stepped

    @contextmanager
    def _keep_latents(self, latents: torch.Tensor, advice: str) -> Iterator[None]:
        """Keep the latents in `pipe.latents` if decoding fails, and add advice to the error."""
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
        """Move the models to a device, a dtype, or both.

        `pipe.to("cuda")`, `pipe.to(torch.bfloat16)`, `pipe.to("cuda", torch.bfloat16)`.

        Raises:
            InputError: other arguments than a device and a dtype in this order, or one of them
                twice.
        """
        takes_too_many = len(target) > 2
        is_reversed = len(target) == 2 and isinstance(target[0], torch.dtype)
        if takes_too_many or is_reversed:
            raise InputError(
                f"to() was given {target}; it takes a device, a dtype, or a device and then a "
                "dtype."
            )
        dtypes = [value for value in (*target, dtype) if isinstance(value, torch.dtype)]
        devices = [
            value for value in (*target, device) if not isinstance(value, torch.dtype | None)
        ]
        for name, values in (("types", dtypes), ("devices", devices)):
            if len(values) > 1:
                raise InputError(
                    f"to() was given two {name}, {values[0]} and {values[1]}; give one."
                )
        for module in self._modules():
            module.to(device=next(iter(devices), None), dtype=next(iter(dtypes), None))
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
            options: `HubOptions`, and components to use instead of loading them, or `None` for a
                pipeline without one.

        Raises:
            CheckpointError: something is missing, damaged, or refused.
            InputError: an argument that this pipeline does not take, or a variant that no component
                has.
        """
        hub, components = split_options(options)
        name = os.fspath(pretrained_model_name_or_path)
        if cls is not DiffusionPipeline:  # its class is known only from the folder's index
            cls._refuse_unknown("from_pretrained", components)
        folder = fetch_pipeline(CheckpointLocation(name, **hub), components, variant)
        index = read_index(folder)
        pipeline_class = cls._class_for(index.class_name, name)
        pipeline_class._refuse_unknown("from_pretrained", components)
        expected = pipeline_class.component_names()
        loaded: dict[str, Any] = dict.fromkeys(pipeline_class._optional_components)
        loaded |= load_components(
            folder,
            index,
            expected,
            components,
            dtype=dtype if dtype is not None else torch_dtype,
            variant=variant,
            device=as_device(device),
        )
        missing = [component for component in expected if component not in loaded]
        if missing:
            raise CheckpointError(
                f"{name} has no {', '.join(missing)}, which {pipeline_class.__name__} needs; it "
                f"holds a {index.class_name}. Pass {missing[0]}= by hand, or None to go without."
            )
        pipe = pipeline_class(**loaded)
        pipe.name_or_path = name
        return pipe

    @classmethod
    def _class_for(cls, class_name: str, source: str) -> type[Self]:
        """This class; for `DiffusionPipeline` itself, the class that the folder names."""
        if cls is not DiffusionPipeline:
            return cls
        if class_name not in PIPELINES:
            raise CheckpointError(
                f"{source} holds a {class_name}, which is not one of filmstrip's pipelines "
                f"({', '.join(PIPELINES)}). If one of these can use its components, call "
                "from_pretrained of that class."
            )
        pipeline_class: type[Self] = public(class_name)
        return pipeline_class

    @classmethod
    def _refuse_unknown(cls, method: str, names: Iterable[str]) -> None:
        """Raise an `InputError` if a name is not that of a component."""
        expected = cls.component_names()
        unknown = [name for name in names if name not in expected]
        if unknown:
            raise InputError(
                f"{cls.__name__}.{method} does not take {', '.join(unknown)}; its components are "
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
        """Save the pipeline to a folder that diffusers can load too.

        The arguments are those of `Model.save_pretrained`.
        """
        warn_of_pickles(safe_serialization)
        save_components(
            save_directory,
            type(self).__name__,
            self.components,
            variant=variant,
            max_shard_size=max_shard_size,
        )

    @classmethod
    def from_pipe(cls, pipeline: "DiffusionPipeline", **components: Any) -> Self:
        """A pipeline of this class that shares the components of another.

        Args:
            components: used instead of those of the other pipeline.

        Raises:
            InputError: a component is missing, or is not one of this class.
        """
        cls._refuse_unknown("from_pipe", components)
        expected = cls.component_names()
        shared = {name: getattr(pipeline, name) for name in expected if hasattr(pipeline, name)}
        shared |= components
        missing = [name for name in expected if name not in shared]
        if missing:
            raise InputError(
                f"{cls.__name__} has the components {', '.join(expected)}; {', '.join(missing)} "
                "must be given."
            )
        pipe = cls(**shared)
        pipe.name_or_path = pipeline.name_or_path
        pipe.execution_device = pipeline.execution_device
        return pipe
