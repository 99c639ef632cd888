"""Persons as word vectors: how somebody looks, written into as many numbers as a word has.

A name is then no arbitrary number that a network has to learn by heart for each of hundreds of persons; what it
learns is one way of reading, which holds for every name, also for one that it never saw. Numbers are relative
to the person's own gender, so a vector says as much before "woman" as before "man".
"""

from __future__ import annotations

from functools import cache

import numpy as np
from architecture import TEXT_WIDTH
from world import Identity, identity
from world.identity import BEARDS, MEN_STYLES, WOMEN_STYLES
from world.palette import FRAMES

LENGTH = 2.0
"""Of a name's vector on average: twice that of the words that the captions have, as there is more to say."""
_SHAPE = (
    "face_width", "jaw_width", "chin_width", "chin_length", "eye_size", "eye_open", "eye_spacing", "eye_tilt",
    "brow_thickness", "brow_arch", "brow_slant", "brow_height", "nose_width", "nose_length", "nose_bridge",
    "mouth_width", "mouth_height", "lip_fullness", "shoulder_width",
)  # fmt: skip
_COLOURS = ("skin", "hair_rgb", "eye_rgb", "lip_rgb")
_GLASSES, _EARRINGS = ("round", "square"), ("studs", "hoops")
_STYLES = max(len(WOMEN_STYLES), len(MEN_STYLES))
_SAMPLE = range(5_000_000, 5_003_000)


def vectors_of(seeds: list[int]) -> np.ndarray:
    """float32 ``[n, TEXT_WIDTH]``, a row a person of :func:`world.identity`."""
    directions, means, spreads = _scale()
    people = [identity(seed) for seed in seeds]
    women = np.array([person.gender == "woman" for person in people])[:, None]
    looks = np.stack([_looks(person) for person in people])
    even = (looks - np.where(women, *means)) / np.where(women, *spreads)
    return (even @ directions * (LENGTH / np.sqrt(looks.shape[1]))).astype(np.float32)


def _looks(person: Identity) -> np.ndarray:
    styles = WOMEN_STYLES if person.gender == "woman" else MEN_STYLES
    mole = person.mole or (0.0, 0.0)
    frame = FRAMES[person.glasses_colour] if person.glasses != "none" else (128, 128, 128)
    parts = (
        _one_of(styles.index(person.hair_style), _STYLES),
        *(np.array(getattr(person, name)) for name in _COLOURS),
        np.array([getattr(person, name) for name in _SHAPE]),
        np.array([person.glasses == kind for kind in _GLASSES]),
        np.array(frame),
        np.array([person.beard == kind for kind in BEARDS[1:]]),
        np.array([person.earrings == kind for kind in _EARRINGS]),
        np.array([person.freckles, person.mole is not None, *mole]),
    )
    return np.concatenate([part.astype(float) for part in parts])


def _one_of(index: int, count: int) -> np.ndarray:
    return np.eye(count)[index]


@cache
def _scale() -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Orthogonal directions ``[looks, TEXT_WIDTH]``; means and spreads of women's looks and of men's."""
    people = [identity(seed) for seed in _SAMPLE]
    looks = [np.stack([_looks(p) for p in people if p.gender == gender]) for gender in ("woman", "man")]
    count = looks[0].shape[1]
    assert count <= TEXT_WIDTH, f"{count} numbers don't fit into a word of {TEXT_WIDTH}"
    square, _ = np.linalg.qr(np.random.default_rng(11).normal(size=(TEXT_WIDTH, TEXT_WIDTH)))
    means = (looks[0].mean(0), looks[1].mean(0))
    spreads = tuple(np.where((spread := each.std(0)) > 1e-6, spread, 1.0) for each in looks)
    return square[:count], means, (spreads[0], spreads[1])
