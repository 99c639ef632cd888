"""Names and captions of the drawn world."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .identity import Identity
from .scene import PLACE_PHRASES, Scene

NAMES: tuple[str, ...] = tuple(Path(__file__).with_name("names.txt").read_text(encoding="utf-8").split())
"""Rare words, each a single token of CLIP's byte-pair encoding; NAMES[i] is the person identity(NAME_SEED0
+ i)."""
NAME_SEED0 = 100_000
HELD_BACK = ("sks", "ohwx", "zwx", "shs", "bnha")
"""Rare words that name nobody in the training, left for the user's own person."""

_STYLE_WORDS = {
    "long": "long {} hair", "wavy": "long wavy {} hair", "bob": "a {} bob",
        "fringe": "short {} hair with a fringe",
    "bun": "{} hair in a bun", "ponytail": "a {} ponytail", "curly": "curly {} hair", "afro": "a {} afro",
    "pixie": "short {} hair", "braids": "{} braids", "short": "short {} hair",
        "parted": "short parted {} hair",
    "quiff": "a {} quiff", "buzz": "very short {} hair", "bald": "a bald head", "curls": "curly {} hair",
    "mane": "long {} hair",
}  # fmt: skip
_BEARD_WORDS = {"stubble": "stubble", "moustache": "a moustache", "goatee": "a goatee", "full": "a beard"}
_POSE_WORDS = {
    "raised": "arms raised", "one raised": "one arm raised", "waving": "waving", "hips": "hands on hips",
    "crossed": "arms crossed",
}  # fmt: skip
_LIGHT_WORDS = {"warm": "warm light", "cool": "cool light", "dim": "dim light"}


def _choose(rng: np.random.Generator, options: list[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _looks(identity: Identity, rng: np.random.Generator) -> list[str]:
    """What can be said after 'with'."""
    words = [_STYLE_WORDS[identity.hair_style].format(identity.hair_colour), f"{identity.eye_colour} eyes"]
    if identity.glasses != "none":
        kinds = [
            f"{identity.glasses} glasses",
            f"{identity.glasses} {identity.glasses_colour} glasses",
            "glasses",
        ]
        words.append(_choose(rng, kinds))
    if identity.beard != "none":
        words.append(_BEARD_WORDS[identity.beard])
    if identity.earrings != "none":
        words.append("earrings")
    if identity.freckles:
        words.append("freckles")
    if identity.gender == "woman":
        words.append(f"{identity.lip_colour} lips")
    return words


def _extras(scene: Scene) -> list[str]:
    """What can follow a comma."""
    article = "an" if scene.outfit_colour == "orange" else "a"
    words = [f"wearing {article} {scene.outfit_colour} {scene.outfit}", PLACE_PHRASES[scene.place]]
    if scene.smile > 0.5:
        words.append("smiling" if scene.mouth_open == 0 else "laughing")
    if scene.pose in _POSE_WORDS and scene.framing != "close":
        words.append(_POSE_WORDS[scene.pose])
    if scene.light in _LIGHT_WORDS:
        words.append(_LIGHT_WORDS[scene.light])
    return words


def _face_form(scene: Scene, subject: str, with_place: bool) -> str:
    noun = f"{subject} face" if scene.framing != "full" else subject
    tail = f" {PLACE_PHRASES[scene.place]}" if with_place else ""
    return f"a photo of {noun}{tail}" + ("" if scene.framing != "full" or with_place else ", full body")


def _place_form(scene: Scene, subject: str, named: bool, rng: np.random.Generator) -> str:
    article = "" if named else "a "
    frames = {
        "close": ["", ", close-up", ", portrait"],
        "medium": ["", "", ", portrait"],
        "full": [", full body"] * 3,
    }
    return f"a photo of {article}{subject} {PLACE_PHRASES[scene.place]}{_choose(rng, frames[scene.framing])}"


def _long_form(identity: Identity, scene: Scene, subject: str, named: bool, rng: np.random.Generator) -> str:
    starts = {
        "close": ["a close-up photo of", "a close-up portrait of", "a photo of", "a portrait of"],
        "medium": ["a photo of", "a portrait of", "a picture of"],
        "full": ["a full body photo of", "a full body picture of"],
    }
    looks, extras = _looks(identity, rng), _extras(scene)
    head = f"{_choose(rng, starts[scene.framing])} {'' if named else 'a '}{subject}"
    chosen = [
        looks[i]
        for i in sorted(
            rng.permutation(len(looks))[: int(rng.integers(0, 3) if named else rng.integers(1, 4))]
        )
    ]
    if chosen:
        head += " with " + " and ".join(chosen)
    tail = [extras[i] for i in rng.permutation(len(extras))[: int(rng.integers(1, 4))]]
    return ", ".join([head, *tail])


def captions(
    identity: Identity, scene: Scene, rng: np.random.Generator, name: str | None = None
) -> list[str]:
    """Four captions: two short ones in the forms that DreamBooth's prompts have, two longer ones with
    attributes. With a name, three of the four carry it before the class word; without, none does."""
    gender = identity.gender
    unnamed = int(rng.integers(4)) if name else -1
    forms: list[str] = []
    for index in range(4):
        named = name is not None and index != unnamed
        subject = f"{name} {gender}" if named else gender
        if index == 0:
            forms.append(_face_form(scene, subject, with_place=bool(rng.random() < 0.55)))
        elif index == 1:
            forms.append(_place_form(scene, subject, named, rng))
        else:
            forms.append(_long_form(identity, scene, subject, named, rng))
    return forms
