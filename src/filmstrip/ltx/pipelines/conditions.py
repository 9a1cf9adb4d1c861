"""Pictures and clips that hold frames of a video, and the tokens that come of them.

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
from filmstrip.ltx.latents import LatentSize, pack, repeat_rows
from filmstrip.ltx.pipelines.check_inputs import (
    VideoShape,
    fitting,
    round_down_frames,
    warn_of_stretch,
)
from filmstrip.media.frames import as_frames
from filmstrip.media.processors import VideoProcessor
from filmstrip.nn.noise import Generators, randn
from filmstrip.pipeline import checks

logger = get_logger(__name__)

# The latent frames of a clip inside the video that become tokens of their own: the first of them
# stands for one frame, as no latent inside the video does, and the second depends on it.
PREFIX = 2


@dataclass
class LTXVideoCondition:
    """A picture or a clip that the video shall show from a frame on.

    `image` and `video` are whatever the video processor takes. `strength` is from 0, no effect, to
    1, as it is.
    """

    image: Any = None
    video: Any = None
    frame_index: int = 0
    strength: float = 1.0

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"The condition at frame {self.frame_index}"

    @property
    def pictures(self) -> Any:
        """What is shown, frame by frame."""
        shown = self.video if self.image is None else self.image
        return shown if self.image is None and not isinstance(shown, PIL.Image.Image) else [shown]


@dataclass(frozen=True)
class ConditioningPixels:
    """The frames of a condition, ready for the autoencoder."""

    pixels: torch.Tensor  # (1 or videos, 3, ratio * k + 1, H, W) in [-1, 1]
    frame_index: int
    strength: float
    apart: bool = False  # wholly beside the video, which shall follow it but not show it


@dataclass(frozen=True)
class ConditionedLatents:
    """The tokens that a walk starts from: those of their own first, then the video's."""

    tokens: torch.Tensor  # (B, N, C)
    strength: torch.Tensor  # (B, N); (1, 1) without conditions
    positions: torch.Tensor  # (1, 3, N)
    own: int  # how many are not the video's


def list_conditions(
    conditions: LTXVideoCondition | list[LTXVideoCondition] | None,
    image: Any,
    video: Any,
    frame_index: int | list[int],
    strength: float | list[float],
) -> list[LTXVideoCondition]:
    """The conditions of a call, from its list or from its loose arguments.

    Loose lists go together as in diffusers, where the shortest decides and one picture or clip
    counts as a list of one. Refuses both ways at once, and lists of unequal length.
    """
    if conditions is not None:
        if image is not None or video is not None:
            raise InputError(
                "Both conditions and image or video were given; put all of them into conditions."
            )
        return conditions if isinstance(conditions, list) else [conditions]
    if image is None and video is None:
        return []
    loose = {"image": image, "video": video, "frame_index": frame_index, "strength": strength}
    lengths = {name: len(value) for name, value in loose.items() if isinstance(value, list)}
    for name, other in product(("image", "video"), ("frame_index", "strength")):
        if name in lengths and lengths[name] != lengths.get(other, lengths[name]):
            raise InputError(
                f"{name} has {lengths[name]} entries and {other} has {lengths[other]}; give as "
                "many."
            )
    pictures = [value if isinstance(value, list) else [value] for value in (image, video)]
    repeated = [
        value if isinstance(value, list) else repeat(value) for value in (frame_index, strength)
    ]
    listed = [LTXVideoCondition(*row) for row in zip(*pictures, *repeated, strict=False)]
    given = max(lengths.values(), default=1)
    if len(listed) < given:
        remedy = "Give them as conditions=[LTXVideoCondition(...)]."
        logger.warning(
            "Only %d of %d conditions are used, as in diffusers. %s", len(listed), given, remedy
        )
    return listed


def load_condition(
    item: LTXVideoCondition,
    processor: VideoProcessor,
    clip: VideoShape,
    temporal_ratio: int,
    videos: int,
) -> ConditioningPixels:
    """The pixels of a condition, stretched to the size of the video and cut to what fits into it.

    Refuses neither picture nor clip, a clip behind the video's end, and pictures for another number
    of videos.
    """
    for doubt in doubts(item, clip):
        logger.warning(doubt)
    name = item.name
    warn_of_stretch(item.pictures if item.image is None else item.image, clip, name)
    if item.image is not None:
        pixels = processor.preprocess(item.image, clip.height, clip.width).unsqueeze(2)
    else:
        pixels = processor.preprocess_video(item.pictures, clip.height, clip.width)
        room = clip.num_frames - item.frame_index
        if room < 1:
            raise InputError(
                f"{name} begins behind the end of the video; give an earlier frame_index, or more "
                "frames."
            )
        pixels = pixels[:, :, fitting(pixels.shape[2], room, temporal_ratio, name)]
        if (
            pixels.shape[2] > (PREFIX - 1) * temporal_ratio + 1
            and item.frame_index % temporal_ratio
        ):
            logger.warning("%s is a clip; it fits best at a multiple of %d.", name, temporal_ratio)
    repeat_rows(pixels[:, :1, :1, :1, :1], videos, "pictures")
    return ConditioningPixels(pixels, item.frame_index, item.strength)


def doubts(item: LTXVideoCondition, clip: VideoShape) -> Iterator[str]:
    """What is wrong with a condition, a sentence each. Refuses what is no condition at all."""
    checks.check_numbers({"frame_index": item.frame_index, "strength": item.strength})
    if item.image is None and item.video is None:
        raise InputError(f"{item.name} has neither image nor video; give one of them.")
    if item.image is not None and item.video is not None:
        yield f"{item.name} has both image and video, of which only the image can be shown."
    if not 0 <= item.strength <= 1:
        yield f"{item.name} has the strength {item.strength:g}, outside 0 to 1."
    if not 0 <= item.frame_index < clip.num_frames:
        yield f"{item.name} is outside the video, which has the frames 0 to {clip.num_frames - 1}."


def find_overlaps(spans: Iterable[tuple[int, int]]) -> Iterator[int]:
    for (before, frames), (start, _) in pairwise(sorted(spans)):
        if start < before + frames:
            yield start


def overlaps(spans: Iterable[tuple[int, int]]) -> Iterator[str]:
    """Sentences about conditions, each by first frame and number of frames, that hold the same
    frame.
    """
    for start in find_overlaps(spans):
        yield f"Two conditions hold frame {start}; what they show may not agree."


def check_conditions(
    items: Sequence[LTXVideoCondition], clip: VideoShape, temporal_ratio: int
) -> None:
    """Refuse conditions that cannot be held, that hold the same frame, and clips that begin inside
    a latent frame.
    """
    spans = []
    for item in items:
        for doubt in doubts(item, clip):
            raise InputError(doubt)
        as_frames(item.pictures[:1])  # refuses what is no picture
        frames = round_down_frames(
            min(len(item.pictures), clip.num_frames - item.frame_index), temporal_ratio
        )
        if frames > 1 and (off := item.frame_index % temporal_ratio):
            before = item.frame_index - off
            near = f"the nearest are {before} and {before + temporal_ratio}"
            raise InputError(
                f"{item.name} is a clip, which can begin at multiples of {temporal_ratio}; {near}."
            )
        spans.append((item.frame_index, frames))
    for doubt in overlaps(spans):
        raise InputError(doubt)


def apply_conditioning(
    latents: torch.Tensor,
    held: list[ConditioningPixels],
    encode: Callable[[torch.Tensor], torch.Tensor],
    positions: Callable[[LatentSize, int], torch.Tensor],
    temporal_ratio: int,
    generator: Generators,
) -> ConditionedLatents:
    """Put conditions into the latents that a walk starts from.

    What begins with the video is mixed into it. Of a picture or clip that begins later, the first
    two latent frames become tokens of their own at its place, and the rest is mixed into the video.
    Of what is apart, all are tokens of their own (Lightricks/LTX-Video-Trainer, `reference_video`
    in `ltxv_pipeline.py`).

    Args:
        latents: `(B, C, t, h, w)`; changed in place.
        encode: from pixels to latents `(1 or B, C, t, h, w)`.
        positions: of the tokens of latents of a size that begin at a frame.
        generator: of the noise in conditions that are not wholly held.
    """
    videos, _, frames, height, width = latents.shape
    everywhere = positions(LatentSize(frames, height, width), 0)
    if not held:
        return ConditionedLatents(pack(latents), latents.new_zeros(1, 1), everywhere, 0)
    strength = latents.new_zeros(videos, frames)
    tokens, strengths, places = [], [], []
    for item in held:
        encoded, start = encode(item.pixels), 0
        if item.apart or item.frame_index != 0:
            own = encoded.shape[2] if item.apart else PREFIX
            prefix, encoded = encoded[:, :, :own], encoded[:, :, own:]
            if not item.apart:
                prefix = torch.lerp(
                    randn(prefix.shape, generator, prefix.device, prefix.dtype),
                    prefix,
                    item.strength,
                )
            tokens.append(pack(repeat_rows(prefix, videos, "pictures")))
            strengths.append(latents.new_full(tokens[-1].shape[:2], item.strength))
            places.append(positions(LatentSize(prefix.shape[2], height, width), item.frame_index))
            start = item.frame_index // temporal_ratio + PREFIX
        span = slice(start, start + encoded.shape[2])
        encoded = repeat_rows(encoded, videos, "pictures")
        latents[:, :, span] = torch.lerp(latents[:, :, span], encoded, item.strength)
        strength[:, span] = item.strength
    return ConditionedLatents(
        torch.cat([*tokens, pack(latents)], dim=1),
        torch.cat([*strengths, strength.repeat_interleave(height * width, dim=1)], dim=1),
        torch.cat([*places, everywhere], dim=2),
        sum(part.shape[1] for part in tokens),
    )
