"""Captions of scenes in varied wording, as the embedded LTX model is trained on."""

from __future__ import annotations

import random

import torch

from tools.demo_clips.scenes import Scene, from_indices, sample_scenes

# A motion as third person and as participle: "it moves up", "a star moving up".
Phrase = tuple[str, str]

TRAVEL: dict[str, tuple[Phrase, ...]] = {
    "left": (
        ("moves left", "moving left"),
        ("moves to the left", "moving to the left"),
        ("slides left", "sliding left"),
        ("goes to the left", "going to the left"),
    ),
    "right": (
        ("moves right", "moving right"),
        ("moves to the right", "moving to the right"),
        ("slides right", "sliding right"),
        ("goes to the right", "going to the right"),
    ),
    "up": (
        ("moves up", "moving up"),
        ("rises", "rising"),
        ("moves upwards", "moving upwards"),
        ("goes up", "going up"),
    ),
    "down": (
        ("moves down", "moving down"),
        ("sinks", "sinking"),
        ("moves downwards", "moving downwards"),
        ("goes down", "going down"),
        ("falls", "falling"),
    ),
}
CHANGE: dict[str, tuple[Phrase, ...]] = {
    "grows": (
        ("grows", "growing"),
        ("gets bigger", "getting bigger"),
        ("becomes larger", "becoming larger"),
        ("expands", "expanding"),
    ),
    "shrinks": (
        ("shrinks", "shrinking"),
        ("gets smaller", "getting smaller"),
        ("becomes smaller", "becoming smaller"),
    ),
    "rotates": (
        ("rotates", "rotating"),
        ("spins", "spinning"),
        ("turns", "turning"),
        ("rotates clockwise", "rotating clockwise"),
    ),
}
REST: tuple[Phrase, ...] = (
    ("stays still", "staying still"),
    ("does not move", "not moving"),
    ("stands still", "standing still"),
    ("rests", "resting"),
)
SIZE = {
    "small": ("small", "little", "tiny"),
    "medium": ("", "", "medium"),
    "large": ("large", "big", "huge"),
}
ALIASES = {"grey": ("grey", "grey", "gray"), "purple": ("purple", "purple", "violet")}

# {thing}: "a small green star"; {does}: "moves up and grows"; {doing}: "moving up and growing";
# {ground}: a colour; {ground_a}: a colour after its article; {adjectives}: "small green"; {over}:
# "on".
TEMPLATES = (
    "{thing} {does} {over} {ground_a} background",
    "{thing} {does} {over} {ground_a} background",
    "{thing} that {does} {over} {ground_a} background",
    "{over} {ground_a} background {thing} {does}",
    "{over} {ground_a} background, {thing} {does}",
    "{thing} {over} {ground_a} background {does}",
    "{thing} on {ground}, {doing}",
    "{thing} {doing} {over} {ground_a} background",
    "the background is {ground} and {thing} {does}",
    "{thing} {does}, the background is {ground}",
    "{ground_a} background with {thing} {doing}",
    "a video of {thing} {doing} {over} {ground_a} background",
    "there is {thing} {over} {ground_a} background, it {does}",
    "{ground} background, {adjectives} {shape}, {doing}",
    "the {adjectives} {shape} {does} {over} the {ground} background",
)
PREPOSITIONS = ("over", "on", "in front of", "against")


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _join(travel: Phrase, change: Phrase, rng: random.Random) -> Phrase:
    """Join two phrases with "and", in random order."""
    (does, doing), (does_too, doing_too) = rng.sample((travel, change), 2)
    return rng.choice(
        (
            (f"{does} and {does_too}", f"{doing} and {doing_too}"),
            (f"{does} and {does_too}", f"{doing} and {doing_too}"),
            (f"{does} while {doing_too}", f"{doing} while {doing_too}"),
        )
    )


def _motion(scene: Scene, rng: random.Random) -> Phrase:
    travels, changes = scene.direction != "still", scene.change != "steady"
    if travels and changes:
        return _join(rng.choice(TRAVEL[scene.direction]), rng.choice(CHANGE[scene.change]), rng)
    if travels:
        return rng.choice(TRAVEL[scene.direction])
    return rng.choice(CHANGE[scene.change]) if changes else rng.choice(REST)


def caption(scene: Scene, rng: random.Random) -> str:
    """Describe a scene, such as "a small green star moves up and grows over a grey background".

    Args:
        scene: what to describe.
        rng: chooses the wording.

    Returns:
        Lower-case English without a final stop.
    """
    colour, ground = (
        rng.choice(ALIASES.get(name, (name,))) for name in (scene.colour, scene.background)
    )
    adjectives = f"{rng.choice(SIZE[scene.size])} {colour}".strip()
    does, doing = _motion(scene, rng)
    return rng.choice(TEMPLATES).format(
        thing=_article(f"{adjectives} {scene.shape}"),
        adjectives=adjectives,
        shape=scene.shape,
        ground=ground,
        ground_a=_article(ground),
        over=rng.choice(PREPOSITIONS),
        does=does,
        doing=doing,
    )


def evaluation_prompts(count: int, seed: int = 0) -> list[tuple[Scene, str]]:
    """Sample scenes with an attribute pair that is held out of training, each with a caption.

    Args:
        count: how many.
        seed: the same seed gives the same list.
    """
    scenes = from_indices(sample_scenes(count, torch.Generator().manual_seed(seed), held_out=True))
    rng = random.Random(seed)
    return [(scene, caption(scene, rng)) for scene in scenes]
