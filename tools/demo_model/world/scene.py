"""What changes from picture to picture: framing, place, light, pose, clothes, expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .identity import Identity
from .palette import CLOTHS, TROUSERS, Colour

Framing = Literal["close", "medium", "full"]

PLACE_PHRASES: dict[str, str] = {
    "forest": "in the forest",
    "kitchen": "in the kitchen",
    "street": "on the street",
    "snow": "in the snow",
    "sea": "at sea",
    "desert": "in the desert",
    "city": "in the city at night",
    "beach": "on the beach",
    "moon": "on the moon",
    "mountains": "in the mountains",
    "library": "in the library",
    "garden": "in the garden",
    "office": "in the office",
    "cafe": "in the cafe",
    "underwater": "underwater",
    "studio": "in a studio",
}
PLACES: tuple[str, ...] = tuple(PLACE_PHRASES)

# Angles in degrees from hanging down, outwards positive: upper arm, forearm.
ARMS: dict[str, tuple[float, float]] = {
    "down": (13, 6),
    "out": (34, 14),
    "raised": (148, 172),
    "waving": (58, 158),
    "hip": (46, -42),
    "crossed": (12, -104),
}
POSES: dict[str, tuple[str, str]] = {
    "down": ("down", "down"),
    "relaxed": ("down", "out"),
    "raised": ("raised", "raised"),
    "one raised": ("raised", "down"),
    "waving": ("waving", "down"),
    "hips": ("hip", "hip"),
    "one hip": ("hip", "down"),
    "crossed": ("crossed", "crossed"),
}
_POSE_WEIGHTS = (0.3, 0.12, 0.13, 0.09, 0.11, 0.09, 0.07, 0.09)

OUTFITS: dict[str, tuple[str, ...]] = {
    "woman": ("t-shirt", "blouse", "sweater", "dress"),
    "man": ("t-shirt", "shirt", "sweater", "suit"),
}

LIGHTS: dict[str, tuple[float, float, float]] = {
    "neutral": (1.0, 1.0, 1.0),
    "warm": (1.05, 0.98, 0.86),
    "cool": (0.93, 0.98, 1.04),
    "dim": (0.8, 0.79, 0.83),
}


@dataclass(frozen=True)
class Scene:
    """One picture's circumstances. Positions are shares of the picture's width and height, `unit` (half a
    head) a share of its shorter side; angles in radians; person's left and right as in the picture's
    mirror are not used: `mirrored` says that the first arm of the pose is the one on the right of the
    picture."""

    framing: Framing
    place: str
    place_seed: int
    head_x: float
    head_y: float
    unit: float
    yaw: float
    roll: float
    nod: float
    smile: float
    mouth_open: float
    brow_lift: float
    gaze: tuple[float, float]
    pose: str
    arm_jitter: tuple[float, float]
    mirrored: bool
    outfit: str
    outfit_colour: str
    lower: Colour
    light: str
    light_side: int


def _placing(rng: np.random.Generator, framing: Framing, pose: str) -> tuple[float, float, float]:
    """Head's place (shares of width and height) and unit that fit the framing."""
    if framing == "close":
        unit = rng.uniform(0.255, 0.34)
        return 0.5 + rng.uniform(-0.08, 0.08), 0.47 + rng.uniform(-0.05, 0.04), unit
    if framing == "medium":
        unit = rng.uniform(0.145, 0.2)
        top = rng.uniform(0.05, 0.12) + (0.1 if pose in ("raised", "one raised") else 0.0)
        return 0.5 + rng.uniform(-0.13, 0.13), top + 1.25 * unit, unit
    raised = pose in ("raised", "one raised")
    above, below = (2.75 if raised else 1.32), 10.0
    unit = rng.uniform(0.965, 0.985) / (above + below)
    return 0.5 + rng.uniform(-0.14, 0.14), (1 - unit * (above + below)) / 2 + above * unit, unit


def _expression(rng: np.random.Generator) -> dict[str, float]:
    kind = rng.random()
    if kind < 0.4:
        smile, mouth_open = rng.uniform(0.55, 0.9), 0.0
    elif kind < 0.62:
        smile, mouth_open = rng.uniform(0.7, 1.0), rng.uniform(0.5, 1.0)
    elif kind < 0.91:
        smile, mouth_open = rng.uniform(0.2, 0.45), 0.0
    else:
        smile, mouth_open = rng.uniform(-0.5, -0.25), 0.0
    return {"smile": smile, "mouth_open": mouth_open, "brow_lift": rng.uniform(-0.02, 0.05)}


def scene(
    rng: np.random.Generator, identity: Identity, *, framing: Framing | None = None, place: str | None = None
) -> Scene:
    """A random scene for the person; framing and place can be fixed."""
    framing = framing or ("close", "medium", "full")[int(rng.choice(3, p=[0.5, 0.35, 0.15]))]
    pose = list(POSES)[int(rng.choice(len(POSES), p=_POSE_WEIGHTS))]
    if framing == "close" and rng.random() < 0.75:
        pose = "down"
    head_x, head_y, unit = _placing(rng, framing, pose)
    turn = int(rng.integers(-1, 2))
    outfits = OUTFITS[identity.gender]
    return Scene(
        framing=framing,
        place=place or PLACES[int(rng.integers(len(PLACES)))],
        place_seed=int(rng.integers(2**31)),
        head_x=head_x,
        head_y=head_y,
        unit=unit,
        yaw=turn * rng.uniform(0.14, 0.31) + rng.uniform(-0.04, 0.04),
        roll=float(np.clip(rng.normal(0, 0.075), -0.2, 0.2)),
        nod=rng.uniform(-0.08, 0.08),
        gaze=(float(np.clip(rng.normal(0, 0.3), -0.7, 0.7)), float(np.clip(rng.normal(0, 0.15), -0.3, 0.3))),
        pose=pose,
        arm_jitter=(rng.uniform(-7, 7), rng.uniform(-7, 7)),
        mirrored=bool(rng.random() < 0.5),
        outfit=outfits[int(rng.integers(len(outfits)))],
        outfit_colour=list(CLOTHS)[int(rng.integers(len(CLOTHS)))],
        lower=TROUSERS[int(rng.integers(len(TROUSERS)))],
        light=list(LIGHTS)[int(rng.choice(4, p=[0.4, 0.24, 0.2, 0.16]))],
        light_side=int(rng.integers(-1, 2)),
        **_expression(rng),
    )
