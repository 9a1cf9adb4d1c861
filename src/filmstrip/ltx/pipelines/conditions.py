"""Conditions: pictures and clips that a video shows from a frame on, and their tokens.

Lightricks/LTX-Video, `prepare_conditioning` of `pipeline_ltx_video.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product, repeat
from typing import Any

import PIL.Image
import torch

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.ltx.latents import LatentShape, expand_rows, pack
from filmstrip.ltx.pipelines.check_inputs import crop_frames, warn_of_stretch
from filmstrip.ltx.video_shape import VideoShape, round_down_frames
from filmstrip.media.frames import to_uint8_frames
from filmstrip.media.processors import VideoProcessor
from filmstrip.nn.noise import Generators, randn
from filmstrip.pipeline import checks

logger = get_logger(__name__)

# The latent frames of a clip inside the video that become extra tokens. The first of them is one
# frame, unlike the latents inside the video, and the second depends on it.
NUM_PREFIX_FRAMES = 2


@dataclass
class LTXVideoCondition:
    """A picture or a clip that the video shows from a frame on.

    Args:
        image: a picture, as the video processor takes it.
        video: a clip instead, as a list of frames.
        frame_index: the frame of the video at which it begins.
        strength: from 0, no effect, to 1, shown exactly.
    """

    image: Any = None
    video: Any = None
    frame_index: int = 0
    strength: float = 1.0

    @property
    def name(self) -> str:
        """The name of the condition in messages."""
        return f"The condition at frame {self.frame_index}"

    @property
    def frames(self) -> Any:
        """The frames in order; a picture is one frame."""
        if self.image is not None:
            return [self.image]
        if isinstance(self.video, PIL.Image.Image):
            return [self.video]
        return self.video


@dataclass(frozen=True)
class ConditioningPixels:
    """The frames of a condition, ready for the autoencoder."""

    pixels: torch.Tensor  # (1 or num_videos, 3, ratio * k + 1, H, W) in [-1, 1]
    frame_index: int
    strength: float
    is_reference: bool = False  # the video follows it (depth, poses, edges) but does not show it


@dataclass(frozen=True)
class ConditionedLatents:
    """The tokens before the first step: the extra tokens of conditions first, then the video's."""

    tokens: torch.Tensor  # (B, N, C)
    strength: torch.Tensor  # (B, N), 0 to 1; (1, 1) without conditions
    positions: torch.Tensor  # (1, 3, N)
    num_extra_tokens: int


def list_conditions(
    conditions: LTXVideoCondition | list[LTXVideoCondition] | None,
    image: Any,
    video: Any,
    frame_index: int | list[int],
    strength: float | list[float],
) -> list[LTXVideoCondition]:
    """The conditions of a call, from its list or from its separate arguments.

    Separate lists are combined as in diffusers: the shortest sets the number of conditions, and a
    single picture or clip is a list of one.

    Args:
        conditions: one or several, instead of the other arguments.
        image, video, frame_index, strength: values of `LTXVideoCondition`, or lists of them.

    Raises:
        InputError: both `conditions` and `image` or `video`, or lists of different lengths.
    """
    if conditions is not None:
        if image is not None or video is not None:
            raise InputError(
                "Both conditions and image or video were given; put all of them into conditions."
            )
        return conditions if isinstance(conditions, list) else [conditions]
    if image is None and video is None:
        return []
    arguments = {"image": image, "video": video, "frame_index": frame_index, "strength": strength}
    lengths = {name: len(value) for name, value in arguments.items() if isinstance(value, list)}
    for name, other in product(("image", "video"), ("frame_index", "strength")):
        if name in lengths and lengths[name] != lengths.get(other, lengths[name]):
            raise InputError(
                f"{name} has {lengths[name]} entries and {other} has {lengths[other]}; give as "
                "many."
            )
    images = image if isinstance(image, list) else [image]
    videos = video if isinstance(video, list) else [video]
    frame_indices = frame_index if isinstance(frame_index, list) else repeat(frame_index)
    strengths = strength if isinstance(strength, list) else repeat(strength)
    rows = zip(images, videos, frame_indices, strengths, strict=False)
    listed = [LTXVideoCondition(*row) for row in rows]
    num_conditions = max(lengths.values(), default=1)
    if len(listed) < num_conditions:
        logger.warning(
            "Only %d of %d conditions are used, as in diffusers. "
            "Give them as conditions=[LTXVideoCondition(...)].",
            len(listed),
            num_conditions,
        )
    return listed


def preprocess_condition(
    condition: LTXVideoCondition,
    processor: VideoProcessor,
    shape: VideoShape,
    temporal_compression_ratio: int,
    num_videos: int,
) -> ConditioningPixels:
    """The pixels of a condition, stretched to the size of the video and cut to its length.

    Args:
        shape: of the video.
        temporal_compression_ratio: frames per latent frame.
        num_videos: of the call; a condition may have a picture for each.

    Raises:
        InputError: neither picture nor clip, a clip after the video's end, or pictures for another
            number of videos.
    """
    for problem in condition_problems(condition, shape):
        logger.warning(problem)
    first_picture = condition.frames if condition.image is None else condition.image
    warn_of_stretch(first_picture, shape, condition.name)
    if condition.image is not None:
        pixels = processor.preprocess(condition.image, shape.height, shape.width).unsqueeze(2)
    else:
        pixels = _preprocess_clip(condition, processor, shape, temporal_compression_ratio)
    expand_rows(pixels[:, :1, :1, :1, :1], num_videos, "pictures")  # checks their number
    return ConditioningPixels(pixels, condition.frame_index, condition.strength)


def _preprocess_clip(
    condition: LTXVideoCondition,
    processor: VideoProcessor,
    shape: VideoShape,
    temporal_compression_ratio: int,
) -> torch.Tensor:
    pixels = processor.preprocess_video(condition.frames, shape.height, shape.width)
    max_frames = shape.num_frames - condition.frame_index
    if max_frames < 1:
        raise InputError(
            f"{condition.name} begins after the end of the video; give an earlier frame_index, or "
            "more frames."
        )
    kept = crop_frames(pixels.shape[2], max_frames, temporal_compression_ratio, condition.name)
    pixels = pixels[:, :, kept]
    num_prefix_pixel_frames = (NUM_PREFIX_FRAMES - 1) * temporal_compression_ratio + 1
    is_aligned = condition.frame_index % temporal_compression_ratio == 0
    if pixels.shape[2] > num_prefix_pixel_frames and not is_aligned:
        logger.warning(
            "%s is a clip; it fits best at a multiple of %d.",
            condition.name,
            temporal_compression_ratio,
        )
    return pixels


def condition_problems(condition: LTXVideoCondition, shape: VideoShape) -> Iterator[str]:
    """Problems of a condition that pipelines warn of or refuse.

    Yields:
        A sentence for each problem.

    Raises:
        InputError: it has neither picture nor clip, or a value that is not a number.
    """
    checks.check_numbers({"frame_index": condition.frame_index, "strength": condition.strength})
    name = condition.name
    if condition.image is None and condition.video is None:
        raise InputError(f"{name} has neither image nor video; give one of them.")
    if condition.image is not None and condition.video is not None:
        yield f"{name} has both image and video, of which only the image can be shown."
    if not 0 <= condition.strength <= 1:
        yield f"{name} has the strength {condition.strength:g}, outside 0 to 1."
    if not 0 <= condition.frame_index < shape.num_frames:
        yield f"{name} is outside the video, which has the frames 0 to {shape.num_frames - 1}."


def find_overlaps(spans: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Find the frames at which two conditions overlap.

    Args:
        spans: the first frame and the number of frames of each condition.

    Yields:
        The first frame of each overlap.
    """
    for (start, num_frames), (next_start, _) in pairwise(sorted(spans)):
        if next_start < start + num_frames:
            yield next_start


def overlap_problem(frame: int) -> str:
    """The sentence for two conditions that overlap at a frame."""
    return f"Two conditions overlap at frame {frame}; the video cannot show both."


def check_conditions(
    conditions: Sequence[LTXVideoCondition], shape: VideoShape, temporal_compression_ratio: int
) -> None:
    """Refuse conditions that the authors' recipe cannot use.

    Raises:
        InputError: a condition with a problem, two that overlap, or a clip that does not begin at a
            latent frame.
    """
    spans = []
    for condition in conditions:
        for problem in condition_problems(condition, shape):
            raise InputError(problem)
        to_uint8_frames(condition.frames[:1])  # refuses other types than pictures
        max_frames = shape.num_frames - condition.frame_index
        num_frames = round_down_frames(
            min(len(condition.frames), max_frames), temporal_compression_ratio
        )
        offset = condition.frame_index % temporal_compression_ratio
        if num_frames > 1 and offset:
            before = condition.frame_index - offset
            after = before + temporal_compression_ratio
            raise InputError(
                f"{condition.name} is a clip, which can begin at multiples of "
                f"{temporal_compression_ratio}; the nearest are {before} and {after}."
            )
        spans.append((condition.frame_index, num_frames))
    for frame in find_overlaps(spans):
        raise InputError(overlap_problem(frame))


def apply_conditioning(
    latents: torch.Tensor,
    conditions: Sequence[ConditioningPixels],
    *,
    encode: Callable[[torch.Tensor], torch.Tensor],
    positions: Callable[[LatentShape, int], torch.Tensor],
    temporal_compression_ratio: int,
    generator: Generators,
) -> ConditionedLatents:
    """Put conditions into the latents before the first step.

    The latents of a condition at frame 0 are mixed into the video's latents. Of a condition that
    begins later, the first two latent frames become extra tokens at its position, and the others
    are mixed into the video's latents. All latents of a reference become extra tokens
    (Lightricks/LTX-Video-Trainer, `reference_video` in `ltxv_pipeline.py`).

    Args:
        latents: noise, `(B, C, t, h, w)`; changed in place.
        encode: encodes pixels to latents `(1 or B, C, t, h, w)`.
        positions: returns the positions `(1, 3, N)` of the tokens of a latent video, from its shape
            and the frame at which it begins.
        temporal_compression_ratio: frames per latent frame.
        generator: of the noise in conditions whose strength is below 1.

    Returns:
        The tokens before the first step.
    """
    num_videos, _, num_frames, height, width = latents.shape
    video_positions = positions(LatentShape(num_frames, height, width), 0)
    if not conditions:
        return ConditionedLatents(pack(latents), latents.new_zeros(1, 1), video_positions, 0)
    strength = latents.new_zeros(num_videos, num_frames)
    extra_tokens = []
    extra_strengths = []
    extra_positions = []
    for condition in conditions:
        encoded = encode(condition.pixels)
        start = 0
        if condition.is_reference or condition.frame_index != 0:
            num_extra = encoded.shape[2] if condition.is_reference else NUM_PREFIX_FRAMES
            prefix = encoded[:, :, :num_extra]
            encoded = encoded[:, :, num_extra:]
            start = condition.frame_index // temporal_compression_ratio + NUM_PREFIX_FRAMES
            if not condition.is_reference:
                noise = randn(prefix.shape, generator, prefix.device, prefix.dtype)
                prefix = torch.lerp(noise, prefix, condition.strength)
            tokens = pack(expand_rows(prefix, num_videos, "pictures"))
            extra_tokens.append(tokens)
            extra_strengths.append(latents.new_full(tokens.shape[:2], condition.strength))
            prefix_shape = LatentShape(prefix.shape[2], height, width)
            extra_positions.append(positions(prefix_shape, condition.frame_index))
        span = slice(start, start + encoded.shape[2])
        encoded = expand_rows(encoded, num_videos, "pictures")
        latents[:, :, span] = torch.lerp(latents[:, :, span], encoded, condition.strength)
        strength[:, span] = condition.strength
    token_strength = strength.repeat_interleave(height * width, dim=1)
    return ConditionedLatents(
        tokens=torch.cat([*extra_tokens, pack(latents)], dim=1),
        strength=torch.cat([*extra_strengths, token_strength], dim=1),
        positions=torch.cat([*extra_positions, video_positions], dim=2),
        num_extra_tokens=sum(tokens.shape[1] for tokens in extra_tokens),
    )
