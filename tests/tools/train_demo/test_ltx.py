"""The parts of the demo's training that can be checked without training."""

import pytest
import torch
from tokenizers import Tokenizer

from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel
from tools.demo_clips import Scene, draw_clips, to_indices
from tools.train_demo.common.optim import Average, Muon, orthogonalise
from tools.train_demo.ltx.denoiser import position_table
from tools.train_demo.ltx.judge import score
from tools.train_demo.ltx.settings import CAPTION_TOKENS, LATENT_SIZE, REAL, TOY
from tools.train_demo.ltx.text import (
    build_text_encoder,
    build_tokenizer,
    encode_captions,
    encode_texts,
    fold_case,
)
from tools.train_demo.ltx.vae import build_vae


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_tokenizer()


def test_words_of_the_captions_are_single_tokens(tokenizer):
    tokens = tokenizer.encode("a small green star moves up and grows over a grey background").tokens
    assert tokens[:4] == ["▁a", "▁small", "▁green", "▁star"]
    assert len(tokens) == 13


def test_unknown_words_fall_back_to_known_characters(tokenizer):
    assert "<unk>" not in tokenizer.encode("Pinkish octopus, 42!").tokens


def test_upper_case_has_the_embedding_of_lower_case(tokenizer):
    weight = torch.randn(tokenizer.get_vocab_size(), 4)
    folded = fold_case(tokenizer, weight)
    lower, mixed = (
        torch.tensor(tokenizer.encode(text).ids)
        for text in ("a red star on blue", "A RED Star on BLUE")
    )
    assert not torch.equal(lower, mixed)
    assert torch.equal(folded[lower], folded[mixed])
    assert torch.equal(folded[lower], weight[lower])


def test_padding_changes_nothing_for_a_text_encoder_with_mask(tokenizer):
    encoder = build_text_encoder(REAL, tokenizer.get_vocab_size()).eval()
    masked = torch.tensor([True])
    short, long = (
        encode_captions(encoder, encode_texts(tokenizer, ["a red star"], length), masked)[:, :4]
        for length in (8, 128)
    )
    torch.testing.assert_close(short, long, rtol=1e-4, atol=1e-5)


def test_text_encoder_starts_by_looking_at_neighbours(tokenizer):
    encoder = build_text_encoder(REAL, tokenizer.get_vocab_size())
    attention = encoder.encoder.block[0].layer[0].SelfAttention
    bias = attention.compute_bias(9, 9)[0]
    assert bias[0, 4].argmax() == 3
    assert bias[1, 4].argmax() == 5


@pytest.mark.parametrize("shape", [(48, 12), (12, 48)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(3, *shape)).float())
    assert values.min() > 0.4
    assert values.max() < 1.4


def test_muon_takes_steps_of_the_size_of_adam():
    matrix = torch.nn.Parameter(torch.zeros(64, 16))
    matrix.grad = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    Muon([matrix], weight_decay=0.0).step(torch.tensor(1.0))
    assert matrix.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.3)


def test_average_moves_by_its_weight():
    parameter = torch.nn.Parameter(torch.zeros(3))
    average = Average([parameter])
    with torch.no_grad():
        parameter.fill_(1.0)
    average.update(torch.tensor(0.25))
    torch.testing.assert_close(average.values[0], torch.full((3,), 0.25))


def test_the_first_positions_are_those_of_the_text_pipeline():
    transformer = LTXVideoTransformer3DModel(**TOY.transformer_config())
    table, _ = position_table(transformer, TOY, torch.device("cpu"))
    usual, _ = transformer.rope(
        transformer.rope.grid(*LATENT_SIZE, (4 / 25, 16, 16), torch.device("cpu"))
    )
    torch.testing.assert_close(table[:1], usual)


def test_latents_have_the_size_that_the_pipeline_computes():
    vae = build_vae(TOY, torch.device("cpu"))
    latents = vae.encoder(torch.zeros(1, 3, 25, 128, 128))
    assert latents.shape == (1, 2 * TOY.latent_channels, *LATENT_SIZE)
    assert (vae.spatial_compression_ratio, vae.temporal_compression_ratio) == (16, 4)


def test_the_real_model_fits_the_package():
    with torch.device("meta"):
        vae = build_vae(REAL, torch.device("meta"))
        transformer = LTXVideoTransformer3DModel(**REAL.transformer_config())
        encoder = build_text_encoder(REAL, 346)
    parameters = sum(p.numel() for model in (vae, transformer, encoder) for p in model.parameters())
    assert 2 * parameters < 11.9e6


def test_captions_fit_the_length_of_training(tokenizer):
    text = (
        "there is a medium orange triangle in front of a violet background, "
        "it becomes larger while going to the right"
    )
    assert (encode_texts(tokenizer, [text], CAPTION_TOKENS)[0] != 0).sum() < CAPTION_TOKENS - 16


def test_scores_count_swaps_and_confusions():
    scene, mirrored = Scene("red", "star", "blue", "up"), Scene("blue", "star", "red", "up")
    result = score(draw_clips(to_indices([mirrored]), torch.Generator().manual_seed(0)), [scene])
    assert result["swapped"] == 1
    assert result["attributes"] == 0.5
    assert result["colour_errors"] == {"red -> blue": 1}
