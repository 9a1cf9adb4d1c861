"""A VAE in float16 encodes the picture in float32 if its config has `force_upcast`."""

import pytest
import torch

from filmstrip import AutoencoderKLTemporalDecoder, StableVideoDiffusionPipeline
from tests.parity.svd_pipelines import VAE, arguments, pipelines


@pytest.mark.parametrize(
    ("force_upcast", "dtype", "compute_dtype"),
    [
        (True, torch.float16, torch.float32),
        (False, torch.float16, torch.float16),
        (True, torch.bfloat16, torch.bfloat16),
        (True, torch.float32, torch.float32),
    ],
)
def test_a_picture_is_encoded_in_float32_by_a_float16_vae_with_force_upcast(
    force_upcast: bool, dtype: torch.dtype, compute_dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKLTemporalDecoder(**VAE | {"force_upcast": force_upcast}).eval().to(dtype)
    pipe = StableVideoDiffusionPipeline(**pipelines()[0].components | {"vae": vae})
    pipe.set_progress_bar_config(disable=True)
    dtypes = []
    vae.encoder.conv_in.register_forward_hook(
        lambda module, args, output: dtypes.append((args[0].dtype, output.dtype))
    )
    pipe(**arguments(num_inference_steps=1, output_type="latent"))
    assert dtypes == [(compute_dtype, compute_dtype)]
    assert {weight.dtype for weight in vae.parameters()} == {dtype}
