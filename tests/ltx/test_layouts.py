"""Reading of the authors' single files, as in diffusers, and the files that are refused."""

from collections import Counter

import pytest
import torch
from diffusers import (
    AutoencoderKLLTXVideo as DiffusersVAE,
    LTXVideoTransformer3DModel as DiffusersTransformer,
)
from diffusers.loaders.single_file_utils import convert_ltx_vae_checkpoint_to_diffusers

import filmstrip
from filmstrip import (
    AutoencoderKLLTXVideo,
    LTXLatentUpsamplerModel,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    demo,
)
from filmstrip.errors import CheckpointError, InputError
from filmstrip.ltx.layouts import read_info
from filmstrip.ltx.schedules import CheckpointInfo, RectifiedFlowSchedule
from filmstrip.weights.safetensors_files import SafetensorsSource
from tests.ltx import original

# The configs of the folders that diffusers published, with smaller widths.
PUBLISHED = {
    "0.9.0": {
        "block_out_channels": [4, 8, 16, 16],
        "decoder_block_out_channels": [4, 8, 16, 16],
        "layers_per_block": [4, 3, 3, 3, 4],
        "decoder_layers_per_block": [4, 3, 3, 3, 4],
        "spatio_temporal_scaling": [True, True, True, False],
        "decoder_spatio_temporal_scaling": [True, True, True, False],
        "decoder_inject_noise": [False] * 5,
        "upsample_residual": [False] * 4,
        "upsample_factor": [1] * 4,
        "timestep_conditioning": False,
    },
    "0.9.1": {
        "block_out_channels": [4, 8, 16, 16],
        "decoder_block_out_channels": [8, 16, 32],
        "decoder_layers_per_block": [5, 6, 7, 8],
        "decoder_inject_noise": [True, True, True, False],
        "upsample_residual": [True] * 3,
        "upsample_factor": [2] * 3,
        "timestep_conditioning": True,
    },
    "0.9.5": {
        "block_out_channels": [4, 8, 16, 32, 64],
        "down_block_types": ["LTXVideo095DownBlock3D"] * 4,
        "layers_per_block": [4, 6, 6, 2, 2],
        "spatio_temporal_scaling": [True] * 4,
        "downsample_type": ["spatial", "temporal", "spatiotemporal", "spatiotemporal"],
        "decoder_block_out_channels": [8, 16, 32],
        "decoder_layers_per_block": [5, 5, 5, 5],
        "decoder_inject_noise": [False] * 4,
        "spatial_compression_ratio": 32,
        "temporal_compression_ratio": 8,
    },
}


@pytest.fixture(scope="module", params=list(original.VARIANTS))
def checkpoint(request, tmp_path_factory):
    """A checkpoint of a variant: its name, its file, its tensors."""
    variant = request.param
    tensors = original.state(variant)
    file = tmp_path_factory.mktemp("ltx") / f"ltx-{variant}.safetensors"
    return variant, original.write(file, tensors, original.metadata(variant)), tensors


@pytest.fixture
def upsampler(tmp_path):
    config = {"in_channels": 6, "mid_channels": 32, "num_blocks_per_stage": 1, "dims": 3}
    config |= {"spatial_upsample": True, "temporal_upsample": False}
    model = LTXLatentUpsamplerModel(**config)
    metadata = {"_class_name": "LatentUpsampler", **config}
    return model, original.write(tmp_path / "upsampler.safetensors", model.state_dict(), metadata)


def assert_same_state(read, expected):
    assert set(read) == set(expected)
    for key, tensor in read.items():
        torch.testing.assert_close(tensor, expected[key].float(), rtol=0, atol=0)


def test_the_transformer_equals_diffusers_transformer_from_the_file(checkpoint, tmp_path):
    _, file, _ = checkpoint
    read = LTXVideoTransformer3DModel.from_single_file(file)
    read.save_config(tmp_path / "transformer")
    expected = DiffusersTransformer.from_single_file(
        str(file), config=str(tmp_path), subfolder="transformer"
    )
    assert_same_state(read.state_dict(), expected.state_dict())
    expected_config = {k: v for k, v in expected.config.items() if not k.startswith("_")}
    assert {name: read.config[name] for name in expected_config} == expected_config


def test_the_autoencoder_equals_diffusers_autoencoder_from_the_file(checkpoint, tmp_path):
    variant, file, tensors = checkpoint
    read = AutoencoderKLLTXVideo.from_single_file(file)
    read.save_config(tmp_path / "vae")
    if variant == "0.9.5":  # diffusers recognises it only by the width of this layer
        wide = "vae.encoder.conv_out.conv.weight"
        converted = convert_ltx_vae_checkpoint_to_diffusers(
            tensors | {wide: torch.empty(7, 2048, 1, 1, 1)}
        )
        expected = DiffusersVAE(**{k: v for k, v in read.config.items() if not k.startswith("_")})
        expected.load_state_dict(converted | {wide.removeprefix("vae."): tensors[wide]})
    else:
        expected = DiffusersVAE.from_single_file(str(file), config=str(tmp_path), subfolder="vae")
    assert_same_state(read.state_dict(), expected.state_dict())


def test_the_config_is_that_of_the_published_folder(checkpoint):
    variant, file, _ = checkpoint
    config = AutoencoderKLLTXVideo.from_single_file(file).config
    for name, expected in PUBLISHED[variant].items():
        value = list(config[name]) if isinstance(expected, list) else config[name]
        assert value == expected, name


@pytest.mark.parametrize("causal", [False, True])
def test_decoder_causal_is_read_from_the_metadata(causal, tmp_path):
    config = original.metadata("0.9.0")
    config["vae"] = config["vae"] | {"causal_decoder": causal}
    file = original.write(tmp_path / "a.safetensors", original.state("0.9.0"), config)
    assert AutoencoderKLLTXVideo.from_single_file(file).config.decoder_causal == causal


def test_the_upsampler_is_read_with_its_weights_and_config(upsampler):
    model, file = upsampler
    read = LTXLatentUpsamplerModel.from_single_file(file)
    assert_same_state(read.state_dict(), model.state_dict())
    assert read.config.mid_channels == 32


def test_the_schedule_of_a_checkpoint_is_read_from_its_metadata(tmp_path):
    tensors = {"a": torch.zeros(1)}
    first = original.write(tmp_path / "a.safetensors", tensors, original.metadata("0.9.0"))
    assert read_info(first) == CheckpointInfo(
        RectifiedFlowSchedule(shifting="SD3", target_shift_terminal=0.1)
    )
    config = original.metadata("0.9.5") | {"allowed_inference_steps": [1.0, 0.9937, 0.725]}
    last = original.write(tmp_path / "b.safetensors", tensors, config)
    assert read_info(last) == CheckpointInfo(
        RectifiedFlowSchedule("LinearQuadratic"), True, (1.0, 0.9937, 0.725)
    )


def test_weights_are_cast_from_the_dtype_of_the_file_to_the_requested_one(tmp_path):
    tensors = original.state("0.9.0")
    key = "model.diffusion_model.transformer_blocks.0.ff.net.2.weight"
    tensors[key] = tensors[key].to(torch.float8_e4m3fn)  # as in the published fp8 files
    file = original.write(tmp_path / "fp8.safetensors", tensors, original.metadata("0.9.0"))
    model = LTXVideoTransformer3DModel.from_single_file(file, torch_dtype="bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    read = model.transformer_blocks[0].ff.net[2].weight
    torch.testing.assert_close(read, tensors[key].to(torch.bfloat16), rtol=0, atol=0)
    assert not model.training


def test_each_tensor_of_the_model_is_read_once_and_no_others(checkpoint, monkeypatch):
    _, file, tensors = checkpoint
    reads = Counter()
    read = SafetensorsSource.read

    def counting_read(source, name, device):
        reads[name] += 1
        return read(source, name, device)

    monkeypatch.setattr(SafetensorsSource, "read", counting_read)
    LTXVideoTransformer3DModel.from_single_file(file)
    assert reads == Counter(name for name in tensors if not name.startswith("vae."))


def test_a_pipeline_loads_components_that_are_not_in_the_file_from_a_folder(checkpoint):
    variant, file, _ = checkpoint
    pipe = LTXPipeline.from_single_file(file, config=demo.path())
    assert pipe.transformer.config.in_channels == original.CHANNELS
    assert type(pipe.text_encoder).__name__ == "T5EncoderModel"
    assert pipe.tokenizer is not None
    assert pipe.scheduler.config.use_dynamic_shifting == (variant != "0.9.5")
    assert pipe.scheduler.config.shift_terminal == (None if variant == "0.9.5" else 0.1)


def test_a_pipeline_from_a_file_runs_on_embeddings(checkpoint):
    _, file, _ = checkpoint
    pipe = LTXPipeline.from_single_file(file, text_encoder=None, tokenizer=None)
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(
        prompt_embeds=torch.randn(1, 3, original.TEXT),
        prompt_attention_mask=torch.ones(1, 3),
        height=32,
        width=64,
        num_frames=9,
        num_inference_steps=2,
        guidance_scale=1,
        output_type="pt",
    ).frames
    assert frames.shape == (1, 9, 3, 32, 64)


def test_a_missing_text_encoder_is_refused_with_the_remedy(checkpoint):
    with pytest.raises(
        CheckpointError, match=r"does not hold text_encoder and tokenizer; pass text_encoder="
    ):
        LTXPipeline.from_single_file(checkpoint[1])


def test_a_file_of_another_model_is_refused(checkpoint, upsampler, tmp_path):
    with pytest.raises(CheckpointError, match="holds no LTX transformer"):
        LTXVideoTransformer3DModel.from_single_file(upsampler[1])
    with pytest.raises(CheckpointError, match="holds no LTX autoencoder"):
        AutoencoderKLLTXVideo.from_single_file(upsampler[1])
    with pytest.raises(CheckpointError, match="holds no LTX latent upsampler"):
        LTXLatentUpsamplerModel.from_single_file(checkpoint[1])
    with pytest.raises(CheckpointError, match="is a folder"):
        LTXVideoTransformer3DModel.from_single_file(tmp_path)
    with pytest.raises(InputError, match="no single files of UNetSpatio"):
        filmstrip.UNetSpatioTemporalConditionModel.from_single_file(checkpoint[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t, c: t.pop("vae.decoder.conv_in.conv.bias"),
            "lack decoder.conv_in.conv.bias",
        ),
        (
            lambda t, c: t.update({"vae.decoder.conv_in.conv.bias": torch.zeros(3)}),
            r"vae.decoder.conv_in.conv.bias of",
        ),
        (
            lambda t, c: t.update({"a.scale_weight": torch.zeros(1)}),
            "scales for its weights",
        ),
        (
            lambda t, c: t.update({"a.weight_scale": torch.zeros(1)}),
            "scales for its weights",
        ),
        (lambda t, c: c["vae"].pop("blocks"), "not that of an LTX checkpoint"),
        (lambda t, c: c.pop("vae"), "not that of an LTX checkpoint"),
        (
            lambda t, c: c["vae"].update(norm_layer="group_norm"),
            "norm_layer 'group_norm'",
        ),
        (
            lambda t, c: c["vae"].update(blocks=[["res_x", 4], ["attn_res_x", 1]]),
            "attn_res_x",
        ),
        (lambda t, c: c["vae"].update(latent_channels="many"), "cannot be made from"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(change, message, tmp_path):
    tensors = original.state("0.9.0")
    config = original.metadata("0.9.0")
    config["vae"] = dict(config["vae"])
    change(tensors, config)
    file = original.write(tmp_path / "damaged.safetensors", tensors, config)
    with pytest.raises(CheckpointError, match=message):
        AutoencoderKLLTXVideo.from_single_file(file)


def test_a_file_without_config_is_refused(tmp_path):
    file = original.write(tmp_path / "bare.safetensors", original.state("0.9.0"), None)
    with pytest.raises(CheckpointError, match="no config in its metadata"):
        LTXVideoTransformer3DModel.from_single_file(file)


@pytest.mark.parametrize(
    "name", ["absent.safetensors", "owner/repository/model.ckpt", "owner/repository", ""]
)
def test_a_name_that_is_not_a_file_is_refused(name):
    with pytest.raises(CheckpointError):
        LTXVideoTransformer3DModel.from_single_file(name)


@pytest.mark.parametrize("prefix", ["", "https://huggingface.co/", "hf.co/"])
@pytest.mark.parametrize("middle", ["", "blob/main/", "resolve/v1/"])
def test_the_address_of_a_file_on_the_hub_names_its_repository(prefix, middle, tmp_path):
    name = f"{prefix}owner/repository/{middle}folder/model.safetensors"
    with pytest.raises(
        CheckpointError, match=r"hf download owner/repository folder/model\.safetensors"
    ):
        LTXVideoTransformer3DModel.from_single_file(name, cache_dir=tmp_path, local_files_only=True)
