"""The UNet of Stable Video Diffusion (Blattmann et al., arXiv 2311.15127;
Stability-AI/generative-models).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from filmstrip.errors import InputError
from filmstrip.nn.embeddings import TimestepEmbedding, sinusoidal_embedding
from filmstrip.nn.feed_forward import FeedForward
from filmstrip.nn.hooks import hookable
from filmstrip.nn.memory_layout import weights_channels_last
from filmstrip.nn.norms import GroupNorm
from filmstrip.outputs import UNetSpatioTemporalConditionOutput
from filmstrip.svd.models.transformer import TransformerContext
from filmstrip.svd.models.unet_blocks import (
    DownBlockSpatioTemporal,
    SpatioTemporalBlock,
    StepInputs,
    TransformersConfig,
    UNetMidBlockSpatioTemporal,
    UpBlockSpatioTemporal,
)
from filmstrip.weights.model import Model

# The names of blocks in a config, and whether they hold transformers.
DOWN_BLOCKS = {"DownBlockSpatioTemporal": False, "CrossAttnDownBlockSpatioTemporal": True}
UP_BLOCKS = {"UpBlockSpatioTemporal": False, "CrossAttnUpBlockSpatioTemporal": True}


@dataclass(frozen=True)
class SVDPrepared:
    """The step-invariant inputs of the blocks, from `UNetSpatioTemporalConditionModel.prepare`."""

    num_frames: int
    time_ids: torch.Tensor  # the embedding of the added time ids, (B, E)
    down: tuple[tuple[TransformerContext, ...], ...]  # of each transformer, by block
    mid: tuple[TransformerContext, ...]
    up: tuple[tuple[TransformerContext, ...], ...]
    image_only_indicator: torch.Tensor | None  # (B, T)


class UNetSpatioTemporalConditionModel(Model):
    """Predicts the noise or velocity of latent frames from their noisy values, a noise level and an
    image.

    Arguments that may be a value or a list have a list with one value for each block, in the order
    of the down blocks.

    Args:
        sample_size: height and width of the latents; the pipeline reads it.
        in_channels, out_channels: of the latents.
        down_block_types: names of `DOWN_BLOCKS`.
        up_block_types: names of `UP_BLOCKS`, from the smallest size to the largest.
        block_out_channels: widths, multiples of 32.
        addition_time_embed_dim: sinusoids of each added time id.
        projection_class_embeddings_input_dim: sinusoids of all of them.
        layers_per_block: layers of a down block; an up block has one more.
        cross_attention_dim: width of the image's tokens.
        transformer_layers_per_block: pairs of layers in each transformer; or, for each block, in
            each of its transformers.
        num_attention_heads: heads of attention, divisors of the widths.
        num_frames: frames that the model was trained on; the pipeline reads it.

    Raises:
        InputError: an unknown type of block, or not as many values as blocks.
    """

    _repeated_blocks = ("BasicTransformerBlock", "TemporalBasicTransformerBlock")

    def __init__(
        self,
        sample_size: int | None = None,
        in_channels: int = 8,
        out_channels: int = 4,
        down_block_types: Sequence[str] = (
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "DownBlockSpatioTemporal",
        ),
        up_block_types: Sequence[str] = (
            "UpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
        ),
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        addition_time_embed_dim: int = 256,
        projection_class_embeddings_input_dim: int = 768,
        layers_per_block: int | Sequence[int] = 2,
        cross_attention_dim: int | Sequence[int] = 1024,
        transformer_layers_per_block: int | Sequence[int | Sequence[int]] = 1,
        num_attention_heads: int | Sequence[int] = (5, 10, 20, 20),
        num_frames: int = 25,
    ) -> None:
        super().__init__()
        num_blocks = len(block_out_channels)
        down_has_attention = _has_attention(
            "down_block_types", down_block_types, DOWN_BLOCKS, num_blocks
        )
        up_has_attention = _has_attention("up_block_types", up_block_types, UP_BLOCKS, num_blocks)
        widths = list(block_out_channels)
        layers = _per_block("layers_per_block", layers_per_block, num_blocks)
        depths = _per_block(
            "transformer_layers_per_block", transformer_layers_per_block, num_blocks
        )
        heads = _per_block("num_attention_heads", num_attention_heads, num_blocks)
        context_dims = _per_block("cross_attention_dim", cross_attention_dim, num_blocks)

        def transformers(block: int, num_transformers: int) -> TransformersConfig:
            block_depths = _per_transformer(depths[block], num_transformers)
            return TransformersConfig(block_depths, heads[block], context_dims[block])

        time_embed_dim = 4 * widths[0]
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0], time_embed_dim)
        self.add_embedding = TimestepEmbedding(
            projection_class_embeddings_input_dim, time_embed_dim
        )
        self.down_blocks = nn.ModuleList(
            DownBlockSpatioTemporal(
                in_channels=widths[max(block - 1, 0)],
                out_channels=widths[block],
                temb_channels=time_embed_dim,
                num_layers=layers[block],
                downsample=block < num_blocks - 1,
                transformers=transformers(block, layers[block]) if has_attention else None,
            )
            for block, has_attention in enumerate(down_has_attention)
        )
        self.mid_block = UNetMidBlockSpatioTemporal(
            widths[-1], time_embed_dim, transformers(num_blocks - 1, 1)
        )
        self.up_blocks = nn.ModuleList(
            UpBlockSpatioTemporal(
                in_channels=widths[min(block + 1, num_blocks - 1)],
                skip_channels=[widths[block]] * layers[block] + [widths[max(block - 1, 0)]],
                out_channels=widths[block],
                temb_channels=time_embed_dim,
                upsample=block > 0,
                transformers=transformers(block, layers[block] + 1) if has_attention else None,
            )
            for block, has_attention in zip(
                reversed(range(num_blocks)), up_has_attention, strict=True
            )
        )
        self.conv_norm_out = GroupNorm(widths[0], eps=1e-5, activate=True)
        self.conv_out = nn.Conv2d(widths[0], out_channels, 3, padding=1)
        weights_channels_last(self)

    def enable_forward_chunking(self, chunk_size: int | None = None, dim: int = 0) -> None:
        """Run the feed-forward layers in chunks, which saves memory and changes no number.

        Args:
            chunk_size: frames in a chunk, or with `dim` 1 tokens of every frame; 1 by default.
            dim: 0 or 1.

        Raises:
            InputError: another `dim`.
        """
        if dim not in (0, 1):
            raise InputError(
                f"dim is {dim}; forward chunking takes 0 (frames) or 1 (tokens of a frame)."
            )
        for module in self.modules():
            if isinstance(module, FeedForward):
                module.chunking = (chunk_size or 1, dim)

    @hookable
    def prepare(
        self,
        encoder_hidden_states: torch.Tensor,
        added_time_ids: torch.Tensor,
        num_frames: int,
        image_only_indicator: torch.Tensor | None = None,
    ) -> SVDPrepared:
        """Compute what is the same in every step, from the image's tokens, the time ids and the
        positions of the frames.

        Args:
            encoder_hidden_states: the image's tokens, `(B, L, cross_attention_dim)`; SVD has one.
            added_time_ids: frames per second less 1, motion bucket and noise augmentation, `(B,
                3)`.
            num_frames: frames of a video.
            image_only_indicator: 1 where a frame is a single image, `(B, num_frames)`; `None` is 0
                for all.

        Raises:
            InputError: another number of time ids than the model embeds.
        """
        return self._prepare(
            encoder_hidden_states, added_time_ids, num_frames, image_only_indicator
        )

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor | None = None,
        added_time_ids: torch.Tensor | None = None,
        return_dict: bool = True,
        prepared: SVDPrepared | None = None,
    ) -> UNetSpatioTemporalConditionOutput | tuple[torch.Tensor]:
        """Predict the noise or velocity.

        Args:
            sample: noisy latents, joined along the channels with those of the image, `(B, T,
                in_channels, H, W)`.
            timestep: the scheduler's value for the noise level, one for all or `(B,)`.
            encoder_hidden_states, added_time_ids: as in `prepare`.
            return_dict: return the output class rather than a tuple of one.
            prepared: from `prepare`; then the arguments that are in `prepare` too are ignored.

        Returns:
            The prediction, `(B, T, out_channels, H, W)`.

        Raises:
            InputError: neither `prepared` nor its arguments, or `prepared` is for another number of
                frames.
        """
        batch, num_frames = sample.shape[:2]
        if prepared is None:
            if encoder_hidden_states is None or added_time_ids is None:
                raise InputError(
                    "Give encoder_hidden_states and added_time_ids, or prepared from prepare()."
                )
            prepared = self._prepare(encoder_hidden_states, added_time_ids, num_frames, None)
        if prepared.num_frames != num_frames:
            raise InputError(
                f"sample has {num_frames} frames, but prepare() was called for "
                f"{prepared.num_frames}."
            )
        timesteps = torch.as_tensor(timestep, device=sample.device).expand(batch)
        sinusoids = sinusoidal_embedding(timesteps, self.time_embedding.linear_1.in_features)
        temb = self.time_embedding(sinusoids.to(sample.dtype)) + prepared.time_ids
        step = StepInputs(num_frames, nn.functional.silu(temb), prepared.image_only_indicator)

        frames = self.conv_in(sample.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        skips = [frames]
        for block, contexts in zip(self.down_blocks, prepared.down, strict=True):
            frames, outputs = block(frames, step, contexts)
            skips += outputs
        frames = self.mid_block(frames, step, prepared.mid)
        for block, contexts in zip(self.up_blocks, prepared.up, strict=True):
            frames = block(frames, step, contexts, skips)
        output = self.conv_out(self.conv_norm_out(frames)).unflatten(0, (batch, num_frames))
        return UNetSpatioTemporalConditionOutput(output) if return_dict else (output,)

    def _prepare(
        self,
        context: torch.Tensor,
        added_time_ids: torch.Tensor,
        num_frames: int,
        image_only_indicator: torch.Tensor | None,
    ) -> SVDPrepared:
        """`prepare` without this module's hooks, for use inside `forward`."""
        sinusoids = sinusoidal_embedding(
            added_time_ids.flatten(), self.config.addition_time_embed_dim
        )
        sinusoids = sinusoids.view(added_time_ids.shape[0], -1)
        channels = self.add_embedding.linear_1.in_features
        if sinusoids.shape[1] != channels:
            raise InputError(
                f"added_time_ids has {added_time_ids.shape[1]} values per video, and each becomes "
                f"{self.config.addition_time_embed_dim} channels; the model needs {channels} "
                "channels in all."
            )
        return SVDPrepared(
            num_frames=num_frames,
            time_ids=self.add_embedding(sinusoids.to(context.dtype)),
            down=tuple(block.prepare(context, num_frames) for block in _blocks(self.down_blocks)),
            mid=self.mid_block.prepare(context, num_frames),
            up=tuple(block.prepare(context, num_frames) for block in _blocks(self.up_blocks)),
            image_only_indicator=image_only_indicator,
        )


def _per_block(name: str, values: Any, num_blocks: int) -> list[Any]:
    """A list with one value for each block, from one value for all or a list."""
    if isinstance(values, int):
        return [values] * num_blocks
    if len(values) != num_blocks:
        raise InputError(
            f"{name} is {values}, but block_out_channels has {num_blocks} blocks; give one value "
            "for each."
        )
    return list(values)


def _per_transformer(depth: int | Sequence[int], num_transformers: int) -> list[int]:
    """The pairs of layers in each transformer of a block, from one number for all or a list."""
    if isinstance(depth, int):
        return [depth] * num_transformers
    if len(depth) < num_transformers:
        raise InputError(
            f"transformer_layers_per_block has {depth} for a block of {num_transformers} "
            "transformers; give one for each."
        )
    return list(depth)[:num_transformers]


def _has_attention(
    name: str, block_types: Sequence[str], known_types: dict[str, bool], num_blocks: int
) -> list[bool]:
    """Whether each block has transformers, by its type.

    Args:
        name: of the argument that gives the types, for errors.
        known_types: `DOWN_BLOCKS` or `UP_BLOCKS`.
    """
    for block_type in block_types:
        if block_type not in known_types:
            raise InputError(
                f"{name} holds {block_type!r}, which SVD does not have; choose one of "
                f"{', '.join(known_types)}."
            )
    return [known_types[block_type] for block_type in _per_block(name, block_types, num_blocks)]


def _blocks(blocks: nn.ModuleList) -> Iterable[SpatioTemporalBlock]:
    return cast(Iterable[SpatioTemporalBlock], blocks)
