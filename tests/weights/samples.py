"""Small objects to save and load: models, a configurable, and components of an LTX pipeline."""

import torch
from torch import nn

from filmstrip.config import Configurable
from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel
from filmstrip.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler
from filmstrip.weights.model import Model


class Steps(Configurable):
    """A plain object with a config."""

    config_name = "scheduler_config.json"

    def __init__(
        self,
        count: int = 10,
        shift: float = 1.0,
        schedule: str = "linear",
        sizes: tuple[int, ...] = (1, 2),
        clip: bool = False,
        limit: float | None = None,
    ) -> None:
        self.config_in_constructor = dict(self.config)


class Tiny(Model):
    """A model with layers, a parameter, a channels-last weight, and buffers of both sorts."""

    def __init__(self, width: int = 4, widths: tuple[int, ...] = (1,)) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.conv = nn.Conv3d(width, width, 3).to(memory_format=torch.channels_last_3d)
        self.table = nn.Parameter(torch.randn(2, width) / width**0.5)
        self.register_buffer("mean", torch.arange(width) / 7)
        self.register_buffer("count", torch.tensor(width))
        self.register_buffer(
            "frequencies", 1 / 100 ** (torch.arange(width) / width), persistent=False
        )
        self.scales = torch.linspace(0, 1, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x) * self.config.width + self.config["width"]
        return x * self.frequencies + self.table.sum(0) + self.mean * self.count + self.scales


def tiny(seed: int = 0, **config: object) -> Tiny:
    """A `Tiny` with random weights."""
    torch.manual_seed(seed)
    return Tiny(**config)


def transformer() -> LTXVideoTransformer3DModel:
    """A small LTX transformer."""
    return LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=32,
    )


def vae() -> AutoencoderKLLTXVideo:
    """A small LTX autoencoder."""
    return AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False,) * 5,
        upsample_residual=(False,) * 4,
        upsample_factor=(1,) * 4,
        patch_size=1,
        patch_size_t=1,
    )


def text_encoder() -> nn.Module:
    """A small T5 encoder."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=100, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    ).eval()


def tokenizer() -> object:
    """A tokenizer of four words."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(
        models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3}, unk_token="<unk>")
    )
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=words, **special)


def components() -> dict[str, object]:
    """The components of a small `LTXPipeline`."""
    torch.manual_seed(0)
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=2.0),
        "vae": vae(),
        "text_encoder": text_encoder(),
        "tokenizer": tokenizer(),
        "transformer": transformer(),
    }


def same_weights(model: nn.Module, other: nn.Module) -> bool:
    """Whether two models have the same keys and values."""
    first = model.state_dict()
    second = other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )
