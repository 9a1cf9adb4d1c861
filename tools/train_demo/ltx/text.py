"""The demo's language: a small vocabulary, a small T5, and its training to bind each colour to its
role.

A diffusion transformer sees caption tokens without their order, so only the text encoder can say
which of two colours is the object's. T5 starts with heads that look at their neighbours (a relative
bias at the nearest distances) and learns to name the attributes of a scene from its caption before
the transformer trains at all.
"""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import Unigram
from torch import nn
from transformers import T5Config, T5EncoderModel

from tools.demo_clips import ATTRIBUTES, caption, from_indices, sample_scenes
from tools.train_demo.common.store import Clock, Store
from tools.train_demo.ltx.settings import TEXT_TOKENS, Settings

SPACE = "▁"
PUNCTUATION = ".,;:!?'\"-()"
NEIGHBOUR_BIAS = 5.0
# Buckets of T5's relative positions: 1 to 3 tokens before are 1 to 3, as many after are 17 to 19.
NEIGHBOUR_BUCKETS = ((1,), (17,), (1, 2, 3), (17, 18, 19))
MASKED = -10000.0


def scene_captions(scenes: torch.Tensor, rng: random.Random, odd: float = 0.1) -> list[str]:
    """A caption for each scene; a fraction of them has random words in it, to be ignored, or a full
    stop.
    """
    return [_disturbed(caption(scene, rng), rng, odd) for scene in from_indices(scenes)]


def _disturbed(text: str, rng: random.Random, odd: float) -> str:
    words = text.split()
    if rng.random() < odd:
        for _ in range(rng.randint(1, 2)):
            made_up = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 7)))
            words.insert(rng.randint(0, len(words)), made_up)
    return " ".join(words) + ("." if rng.random() < odd else "")


def build_tokenizer() -> Tokenizer:
    """A tokenizer like T5's (Unigram) over the words of the captions, and single characters for
    all others.

    Loaders rebuild T5's own normalisation, so upper case is not folded by the tokenizer: the
    vocabulary holds each piece in lower case, capitalised and in capitals, and `fold_case` gives
    the three one embedding.
    """
    rng = random.Random(0)
    scenes = sample_scenes(30000, torch.Generator().manual_seed(0))
    words = {
        word for text in scene_captions(scenes, rng, odd=0) for word in re.findall(r"[a-z]+", text)
    }
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(SPACE + form, -1.0) for word in sorted(words) for form in _forms(word)]
    vocabulary += [(SPACE, -6.0)]
    vocabulary += [(c, -8.0) for c in string.ascii_letters + string.digits + PUNCTUATION]
    tokenizer = Tokenizer(Unigram(vocabulary, unk_id=2, byte_fallback=False))
    metaspace = {"replacement": SPACE, "prepend_scheme": "always", "split": True}
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(**metaspace)]
    )
    tokenizer.decoder = decoders.Metaspace(**metaspace)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", 1)]
    )
    return tokenizer


def _forms(word: str) -> list[str]:
    return list(dict.fromkeys((word, word.capitalize(), word.upper())))


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the folder that transformers opens as a T5 tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    config = special | {
        "tokenizer_class": "T5TokenizerFast",
        "model_max_length": TEXT_TOKENS,
        "extra_ids": 0,
        "additional_special_tokens": [],
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")


def encode_texts(tokenizer: Tokenizer, texts: Iterable[str], length: int) -> torch.Tensor:
    """Token ids (N, length), padded with 0, the id of "<pad>"."""
    tokenizer.enable_padding(length=length)
    tokenizer.enable_truncation(max_length=length)
    return torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])


def fold_case(tokenizer: Tokenizer, weight: torch.Tensor) -> torch.Tensor:
    """The embedding with the row of each piece in upper case replaced by that of the same piece in
    lower case.
    """
    vocabulary = tokenizer.get_vocab()
    rows = torch.arange(len(vocabulary))
    for piece, index in vocabulary.items():
        rows[index] = vocabulary.get(piece.lower(), index)
    return weight[rows.to(weight.device)]


def build_text_encoder(settings: Settings, vocabulary: int) -> T5EncoderModel:
    """A small T5 encoder whose heads first attend to neighbouring tokens."""
    config = T5Config(
        vocab_size=vocabulary,
        d_model=settings.text_width,
        d_kv=settings.text_width // settings.text_heads,
        d_ff=settings.text_feed_forward,
        num_layers=settings.text_layers,
        num_heads=settings.text_heads,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        use_cache=False,
        is_encoder_decoder=False,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        attn_implementation="eager",
    )
    model = T5EncoderModel(config)
    bias = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    with torch.no_grad():
        for head, buckets in zip(range(settings.text_heads), NEIGHBOUR_BUCKETS, strict=False):
            bias[list(buckets), head] += NEIGHBOUR_BIAS
    return model


class AttributeReader(nn.Module):
    """Names the attributes of a scene from its encoded caption: one query and one classifier an
    attribute.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(ATTRIBUTES), width) * width**-0.5)
        self.classifiers = nn.ModuleList(
            nn.Linear(width, len(names)) for names in ATTRIBUTES.values()
        )

    def forward(self, encoded: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        """Logits (B, classes) of each attribute, from (B, L, C) and a mask (B, L) of true
        tokens.
        """
        scores = torch.einsum("blc,ac->bal", encoded, self.queries).float()
        weights = scores.masked_fill(~mask[:, None], MASKED).softmax(-1).to(encoded.dtype)
        pooled = torch.einsum("bal,blc->bac", weights, encoded)
        return [classifier(pooled[:, i]) for i, classifier in enumerate(self.classifiers)]

    def loss(
        self, encoded: torch.Tensor, mask: torch.Tensor, scenes: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        """Mean cross-entropy over the attributes, each caption weighted by `weight` (B,)."""
        logits = self(encoded, mask)
        losses = [
            F.cross_entropy(out.float(), scenes[:, i], reduction="none")
            for i, out in enumerate(logits)
        ]
        return (torch.stack(losses).mean(0) * weight).sum() / weight.sum().clamp(min=1)


def encode_captions(
    encoder: T5EncoderModel, ids: torch.Tensor, masked: torch.Tensor
) -> torch.Tensor:
    """Run T5 with the mask of padding in the rows where `masked` (B,) is true, without in the
    others: (B, L, C).

    Pipelines call T5 in both ways, so the model must know both.
    """
    hidden = (ids == 0) & masked[:, None]
    bias = (hidden * MASKED)[:, None, None, :]
    return encoder(input_ids=ids, attention_mask=bias)[0]


def train_text(settings: Settings, store: Store, device: torch.device, deadline: float) -> None:
    """Make the tokenizer and train T5 to read captions; does nothing if both exist."""
    if store.load("text") is not None:
        return
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    tokenizer.save(str(store.work / "tokenizer.json"))
    encoder = build_text_encoder(settings, tokenizer.get_vocab_size()).to(device)
    reader = AttributeReader(settings.text_width).to(device)
    parameters = [*encoder.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.text_rate, weight_decay=0.01, betas=(0.9, 0.98)
    )
    rng, generator = random.Random(1), torch.Generator().manual_seed(1)
    clock = Clock(settings.budget_text, 0.0, deadline)
    step = 0
    while not clock.done:
        scenes = sample_scenes(settings.text_batch, generator)
        ids = encode_texts(tokenizer, scene_captions(scenes, rng), TEXT_TOKENS).to(device)
        masked = torch.rand(len(ids), device=device) < 0.5
        encoded = encode_captions(encoder, ids, masked)
        loss = reader.loss(
            encoded, ids != 0, scenes.to(device), torch.ones(len(ids), device=device)
        )
        for group in optimizer.param_groups:
            group["lr"] = settings.text_rate * min((step + 1) / 50, 1 - 0.95 * clock.progress)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            store.log(
                "text",
                step=step,
                loss=loss.item(),
                **_reading(tokenizer, encoder, reader, device, 128),
            )
    score = _reading(tokenizer, encoder, reader, device, 1024)
    store.log(
        "text",
        step=step,
        done=True,
        parameters=sum(p.numel() for p in encoder.parameters()),
        **score,
    )
    tensors = {f"encoder.{k}": v for k, v in encoder.named_parameters()}
    tensors |= {f"reader.{k}": v for k, v in reader.named_parameters()}
    store.save("text", tensors, steps=step, **score)


@torch.no_grad()
def _reading(
    tokenizer: Tokenizer,
    encoder: T5EncoderModel,
    reader: AttributeReader,
    device: torch.device,
    count: int,
) -> dict[str, float]:
    """Fractions of held-out captions of which the colour, the background and all attributes are
    classified correctly, with
    mask and without.
    """
    scenes = sample_scenes(count, torch.Generator().manual_seed(2), held_out=True).to(device)
    ids = encode_texts(tokenizer, scene_captions(scenes.cpu(), random.Random(2)), TEXT_TOKENS).to(
        device
    )
    result = {}
    for name, masked in (("masked", True), ("unmasked", False)):
        encoded = encode_captions(encoder, ids, torch.full((count,), masked, device=device))
        right = torch.stack([out.argmax(1) for out in reader(encoded, ids != 0)], dim=1) == scenes
        result[f"{name}_colours"] = right[:, [0, 2]].float().mean().item()
        result[f"{name}_all"] = right[:, :5].float().mean().item()
    return result


def load_text(
    settings: Settings, store: Store, device: torch.device
) -> tuple[Tokenizer, T5EncoderModel, AttributeReader]:
    """The tokenizer, T5 and reader that `train_text` left."""
    tokenizer = Tokenizer.from_file(str(store.work / "tokenizer.json"))
    encoder = build_text_encoder(settings, tokenizer.get_vocab_size()).to(device)
    reader = AttributeReader(settings.text_width).to(device)
    tensors, _ = store.load("text") or ({}, {})
    encoder.load_state_dict(
        {k[8:]: v for k, v in tensors.items() if k.startswith("encoder.")}, strict=False
    )
    reader.load_state_dict({k[7:]: v for k, v in tensors.items() if k.startswith("reader.")})
    return tokenizer, encoder, reader
