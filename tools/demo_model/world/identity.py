"""Who is drawn: everything about a person that stays the same from picture to picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .palette import EARRINGS, EYES, FRAMES, HAIRS, LIPS, SKINS, Colour, mix, shade

Gender = Literal["woman", "man"]

WOMEN_STYLES = ("long", "wavy", "bob", "fringe", "bun", "ponytail", "curly", "afro", "pixie", "braids")
MEN_STYLES = ("short", "parted", "quiff", "buzz", "bald", "curls", "afro", "mane")
_MEN_WEIGHTS = [1.0, 1.0, 1.0, 0.8, 0.8, 1.0, 0.7, 0.45]
# Styles that women wear too: on a man they come with a beard, so that the class words stay apart.
_BEARDED_STYLES = {"afro": "goatee", "mane": "full"}
BEARDS = ("none", "stubble", "moustache", "goatee", "full")


@dataclass(frozen=True)
class Identity:
    """A person. Lengths are in head units: half the height of the head is 1."""

    seed: int
    gender: Gender
    skin: Colour
    face_width: float
    jaw_width: float
    chin_width: float
    chin_length: float
    hair_style: str
    hair_colour: str
    hair_rgb: Colour
    eye_colour: str
    eye_rgb: Colour
    eye_size: float
    eye_open: float
    eye_spacing: float
    eye_tilt: float
    brow_rgb: Colour
    brow_thickness: float
    brow_arch: float
    brow_slant: float
    brow_height: float
    nose_width: float
    nose_length: float
    nose_bridge: float
    mouth_width: float
    mouth_height: float
    lip_fullness: float
    lip_colour: str
    lip_rgb: Colour
    glasses: Literal["none", "round", "square"]
    glasses_colour: str
    beard: str
    earrings: Literal["none", "studs", "hoops"]
    earring_colour: str
    freckles: bool
    mole: tuple[float, float] | None
    shoulder_width: float


def _pick(
    rng: np.random.Generator, options: tuple[str, ...] | list[str], weights: list[float] | None = None
) -> str:
    chances = None if weights is None else np.asarray(weights) / np.sum(weights)
    return options[int(rng.choice(len(options), p=chances))]


def _hair(rng: np.random.Generator, woman: bool) -> dict[str, object]:
    weights = [(1.6 if hair.natural else 0.8) if woman else (1.6 if hair.natural else 0.15) for hair in HAIRS]
    hair = HAIRS[int(rng.choice(len(HAIRS), p=np.asarray(weights) / sum(weights)))]
    rgb = shade(hair.rgb, rng.uniform(0.9, 1.1))
    style = _pick(rng, WOMEN_STYLES) if woman else _pick(rng, MEN_STYLES, _MEN_WEIGHTS)
    return {
        "hair_style": style,
        "hair_colour": hair.name,
        "hair_rgb": rgb,
        "brow_rgb": shade(mix(rgb, (60, 44, 40), 0.3), 0.8),
    }


def _face(rng: np.random.Generator, woman: bool) -> dict[str, object]:
    width = rng.uniform(0.64, 0.76) if woman else rng.uniform(0.65, 0.76)
    return {
        "face_width": width,
        "jaw_width": width * (rng.uniform(0.72, 0.86) if woman else rng.uniform(0.82, 0.94)),
        "chin_width": rng.uniform(0.14, 0.25) if woman else rng.uniform(0.25, 0.38),
        "chin_length": rng.uniform(0.92, 1.06) if woman else rng.uniform(0.98, 1.14),
        "eye_size": rng.uniform(0.155, 0.2) if woman else rng.uniform(0.13, 0.17),
        "eye_open": rng.uniform(0.52, 0.72) if woman else rng.uniform(0.46, 0.64),
        "eye_spacing": rng.uniform(0.27, 0.345),
        "eye_tilt": rng.uniform(-0.03, 0.06) if woman else rng.uniform(-0.05, 0.03),
        "brow_thickness": rng.uniform(0.035, 0.075) if woman else rng.uniform(0.065, 0.115),
        "brow_arch": rng.uniform(0.02, 0.1) if woman else rng.uniform(0.0, 0.06),
        "brow_slant": rng.uniform(-0.045, 0.015) if woman else rng.uniform(-0.03, 0.03),
        "brow_height": rng.uniform(0.21, 0.29) if woman else rng.uniform(0.17, 0.25),
        "nose_width": rng.uniform(0.11, 0.2) if woman else rng.uniform(0.14, 0.24),
        "nose_length": rng.uniform(0.33, 0.45) if woman else rng.uniform(0.36, 0.5),
        "nose_bridge": rng.uniform(0.05, 0.11),
        "mouth_width": rng.uniform(0.2, 0.31) if woman else rng.uniform(0.22, 0.34),
        "mouth_height": rng.uniform(0.62, 0.7),
        "lip_fullness": rng.uniform(0.07, 0.13) if woman else rng.uniform(0.05, 0.085),
    }


def _marks(rng: np.random.Generator, woman: bool, skin: Colour) -> dict[str, object]:
    lip_colour = _pick(rng, list(LIPS)) if woman else "nude"
    lip_rgb = mix(LIPS[lip_colour], skin, 0.08) if woman else mix((168, 78, 72), skin, 0.45)
    side = 1 if rng.random() < 0.5 else -1
    mole = (side * rng.uniform(0.22, 0.42), rng.uniform(0.36, 0.56))
    return {
        "lip_colour": lip_colour,
        "lip_rgb": lip_rgb,
        "glasses": _pick(rng, ("none", "round", "square"), [0.66, 0.18, 0.16]),
        "glasses_colour": _pick(rng, list(FRAMES)),
        "beard": "none" if woman else _pick(rng, BEARDS, [0.34, 0.16, 0.14, 0.14, 0.22]),
        "earrings": _pick(rng, ("none", "studs", "hoops"), [0.45, 0.3, 0.25]) if woman else "none",
        "earring_colour": _pick(rng, list(EARRINGS)),
        "freckles": bool(rng.random() < 0.14),
        "mole": mole if rng.random() < 0.16 else None,
    }


def identity(seed: int) -> Identity:
    """The person of this number, the same each time. Raises ValueError below 0."""
    rng = np.random.default_rng([0x1D, seed])
    woman = bool(rng.random() < 0.5)
    tone = rng.uniform(0, len(SKINS) - 1)
    skin = shade(
        mix(SKINS[int(tone)], SKINS[min(int(tone) + 1, len(SKINS) - 1)], tone % 1), rng.uniform(0.97, 1.03)
    )
    eye_weights = [1.0, 0.9, 1.0, 1.0, 0.8, 0.7]
    eye_colour = _pick(rng, list(EYES), eye_weights)
    fields = _hair(rng, woman) | _face(rng, woman) | _marks(rng, woman, skin)
    if fields["hair_style"] in _BEARDED_STYLES and fields["beard"] in ("none", "stubble") and not woman:
        fields["beard"] = _BEARDED_STYLES[str(fields["hair_style"])]
    return Identity(
        seed=seed,
        gender="woman" if woman else "man",
        skin=skin,
        eye_colour=eye_colour,
        eye_rgb=EYES[eye_colour],
        shoulder_width=rng.uniform(1.22, 1.38) if woman else rng.uniform(1.5, 1.72),
        **fields,  # pyright: ignore[reportArgumentType]
    )
