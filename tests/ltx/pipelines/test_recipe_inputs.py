"""What the recipe pipeline takes for its prompts, its output and its reference video."""

from typing import Any

import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.ltx.pipelines.preprocess import cover
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from tests.parity.pipelines import VAE_095, pipelines


@pytest.fixture(scope="module")
def pipe() -> Any:
    components = pipelines(VAE_095)[0].components
    pipe = LTXRecipePipeline(**components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_prompts_have_256_tokens_as_in_the_authors_pipeline(pipe: Any) -> None:
    embeds, mask, *_ = pipe.encode_prompt("a red circle moves left")
    assert embeds.shape[:2] == mask.shape == (1, 256)
    assert mask.sum() == 6  # five words and the end


def test_an_unknown_output_type_is_refused_before_any_work(
    pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "encode_prompt", lambda *_, **__: pytest.fail("work had begun"))
    pipe.text_encoder.register_forward_pre_hook(lambda *_: pytest.fail("work had begun"))
    with pytest.raises(InputError, match="output_type is 'mp4'"):
        pipe("a cat", height=32, width=32, num_frames=1, output_type="mp4")


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [
        (60, 20, (slice(20, 40), slice(0, 20))),
        (20, 60, (slice(0, 20), slice(20, 40))),
        (20, 20, (slice(0, 20), slice(0, 20))),
    ],
)
def test_a_reference_shows_its_centre(height: int, width: int, shown: tuple[slice, slice]) -> None:
    frames = torch.rand(2, 3, height, width)
    torch.testing.assert_close(cover(frames, 20, 20), frames[:, :, *shown])
