"""The calls of pipelines that make the frames of a job's videos, for each task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from filmstrip.errors import InputError
from filmstrip.jobs.inputs import EXTEND, MediaInput
from filmstrip.jobs.job import SECOND_PASS_STRENGTH, Job
from filmstrip.jobs.load import Models
from filmstrip.jobs.progress import JobProgress
from filmstrip.jobs.windows import Windows
from filmstrip.ltx.recipes import Recipe
from filmstrip.pipeline.progress import Progress

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from PIL.Image import Image

    Frames: TypeAlias = NDArray[Any]  # (T, H, W, 3)

ADAIN_FACTOR = 1.0  # an upsampled video keeps the statistics of the small one


@dataclass(frozen=True)
class LoadedInput:
    """An input of a job, with all frames of its file."""

    item: MediaInput
    frames: Sequence["Image"]

    @property
    def used_frames(self) -> list["Image"]:
        """The frames that the job uses."""
        return list(self.frames[self.item.start : self.item.stop])


def load_inputs(job: Job) -> tuple[LoadedInput, ...]:
    """Read the pictures and clips of a job.

    Raises:
        InputError: a file is missing, cannot be read, or has changed since the job was planned.
    """
    return tuple(LoadedInput(item, item.file.read()) for item in job.inputs)


@dataclass(frozen=True)
class VideoMaker:
    """Makes the frames of one video of a job.

    Args:
        inputs: the job's pictures and clips, from `load_inputs`.
        generator: a seeded generator, for the first noise.
        progress: what the pipelines report their stages to.
        job_progress: what is told how many frames of a long video are finished.
        save_unfinished: called with the finished frames of a long video that ends early.
    """

    job: Job
    models: Models
    inputs: Sequence[LoadedInput]
    generator: "torch.Generator"
    progress: Progress
    job_progress: JobProgress
    save_unfinished: Callable[["Frames"], None]

    def make(self) -> "Frames":
        """Make all frames of the file, including those of clips that are extended."""
        with self.models.pipeline.report_progress_to(self.progress):
            frames = self._call_pipelines()
        for loaded in self.inputs:
            if loaded.item.is_extended:
                frames = join_clip(frames, loaded, crop=self.job.uses_recipe)
        return frames

    def _call_pipelines(self) -> "Frames":
        job = self.job
        if job.task == "animate":
            return self._call(image=self.inputs[0].used_frames[0])
        if job.task == "upscale":
            return self._upscale_clip()
        if job.windows is not None:
            return self._long_video(job.windows)
        if job.upscale and not job.uses_recipe:
            return self._generate_in_two_passes()
        return self._call(**self._file_size(), **self._conditions(), **self._recipe_argument())

    def _call(self, **arguments: Any) -> Any:
        """The frames of a call of the pipeline, or the latents with `output_type="latent"`."""
        output_type = arguments.pop("output_type", "np")
        call = {**self.job.call, **arguments}
        output = self.models.pipeline(**call, generator=self.generator, output_type=output_type)
        return output.frames if output_type == "latent" else output.frames[0]

    def _file_size(self) -> dict[str, int]:
        """The size of the file, which is twice that of the call in a job that upscales."""
        return {"width": self.job.width, "height": self.job.height}

    def _recipe(self) -> Recipe | None:
        """The pipeline's recipe with the changes of the job; None if the job follows none."""
        if not self.job.uses_recipe:
            return None
        recipe: Recipe = self.models.pipeline.recipe
        return recipe.adjusted(**self.job.recipe_changes, upscale=self.job.upscale)

    def _recipe_argument(self) -> dict[str, Recipe]:
        """The recipe as an argument of the call, for a pipeline that takes one."""
        recipe = self._recipe()
        return {} if recipe is None else {"recipe": recipe}

    def _conditions(self) -> dict[str, Any]:
        """The pictures and clips as an argument of the call, if there are any."""
        from filmstrip.ltx.pipelines.conditions import LTXVideoCondition

        conditions = []
        for loaded in self.inputs:
            item = loaded.item
            condition = LTXVideoCondition(frame_index=item.frame_index, strength=item.strength)
            if item.num_frames > 1:
                condition.video = loaded.used_frames
            else:
                condition.image = loaded.used_frames[0]
            conditions.append(condition)
        return {"conditions": conditions} if conditions else {}

    def _generate_in_two_passes(self) -> "Frames":
        """Denoise in the size of the call, upsample the latents, and denoise again."""
        conditions = self._conditions()
        latents = self._call(**conditions, output_type="latent")
        latents = self._upsample(latents=latents, output_type="latent")
        return self._call(
            **self._file_size(),
            **conditions,
            latents=latents,
            denoise_strength=SECOND_PASS_STRENGTH,
        )

    def _upscale_clip(self) -> "Frames":
        """Upsample a clip to twice the size; with a prompt, denoise it in a second pass."""
        job = self.job
        clip = {
            "video": self.inputs[0].used_frames,
            "width": job.call["width"],
            "height": job.call["height"],
        }
        recipe = self._recipe()
        if "prompt" not in job.call:
            decode: dict[str, float] = {}
            if recipe is not None:
                decode["decode_timestep"] = recipe.decode_timestep
                decode["decode_noise_scale"] = recipe.decode_noise
            return self._upsample(**clip, **decode, output_type="np")[0]
        latents = self._upsample(**clip, output_type="latent")
        second_pass: dict[str, Any] = {"denoise_strength": SECOND_PASS_STRENGTH}
        if recipe is not None:
            second_pass = {"recipe": replace(recipe, first=recipe.passes[-1], second=None)}
        return self._call(**self._file_size(), latents=latents, **second_pass)

    def _upsample(self, **arguments: Any) -> Any:
        """The frames or latents that the latent upsampler makes."""
        from filmstrip.ltx.pipelines.latent_upsample import LTXLatentUpsamplePipeline

        upsampler = self.models.latent_upsampler
        if upsampler is None:
            raise InputError(
                f"The models that were loaded from {self.job.source} have no latent upsampler, "
                "which the job needs. Load them for this job."
            )
        pipeline = LTXLatentUpsamplePipeline(self.models.pipeline.vae, upsampler)
        with pipeline.report_progress_to(self.progress):
            output: Any = pipeline(**arguments, adain_factor=ADAIN_FACTOR, generator=self.generator)
        return output.frames

    def _long_video(self, windows: Windows) -> "Frames":
        """Make a long video window by window. If it ends early, its finished frames are saved."""
        import numpy as np

        from filmstrip.ltx.pipelines.long_video import long_video

        arguments = {name: value for name, value in self.job.call.items() if name != "prompt"}
        parts: list[Frames] = []
        num_frames = 0
        try:
            for part in long_video(
                self.models.pipeline,
                [(0.0, self.job.call["prompt"]), *windows.prompts_at],
                **{**arguments, **self._file_size()},
                **self._conditions(),
                recipe=self._recipe(),
                window=windows.window,
                overlap=windows.overlap,
                generator=self.generator,
            ):
                parts.append(part)
                num_frames += len(part)
                if num_frames < self.job.call["num_frames"]:
                    self.job_progress.frames_finished(num_frames, self.job.call["num_frames"])
        except BaseException:
            if parts:
                self.save_unfinished(np.concatenate(parts))
            raise
        return np.concatenate(parts)


def join_clip(frames: Any, loaded: LoadedInput, crop: bool) -> "Frames":
    """Join a video and the clip that it continues, or that it leads up to.

    The frames that both have are cross-faded.

    Args:
        frames: the video, as `to_uint8_frames` takes it.
        loaded: the clip.
        crop: crop the clip to the size of the video, as the authors do, rather than stretch it.

    Returns:
        `(T, H, W, 3)` in uint8.
    """
    import numpy as np
    import torch
    from PIL import ImageOps

    from filmstrip.media.frames import cross_fade, to_uint8_frames

    video = to_uint8_frames(frames)
    size = video.shape[2], video.shape[1]
    clip = to_uint8_frames(
        [ImageOps.fit(frame, size) if crop else frame.resize(size) for frame in loaded.frames]
    )
    num_shared = loaded.item.num_frames
    clip_is_first = loaded.item.role == EXTEND
    before, after = (clip, video) if clip_is_first else (video, clip)
    faded = cross_fade(
        torch.from_numpy(before[-num_shared:].astype(np.float64)),
        torch.from_numpy(after[:num_shared].astype(np.float64)),
        dim=0,
    )
    blended = faded.round().numpy().astype(np.uint8)
    return np.concatenate([before[:-num_shared], blended, after[num_shared:]])
