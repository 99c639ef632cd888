"""Photographs that are nearly the same: bursts, copies in another size.

Perceptual hash: the signs of the 8 x 8 lowest frequencies of a small grey picture (Zauner 2010,
https://www.phash.org/docs/pubs/thesis_zauner.pdf).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

_VIEW_PX = 32
_LOW = 8
_SAME_BITS = 8
_SAME_DISTANCE = 0.35


def perceptual_hash(image: Image.Image) -> int:
    """64 bits that stay nearly the same when a picture is made smaller, compressed, or a bit lighter."""
    small = image.resize((_VIEW_PX, _VIEW_PX), Image.Resampling.BILINEAR, reducing_gap=2.0).convert("L")
    waves = _cosines() @ np.asarray(small, np.float64) @ _cosines().T
    low = waves[:_LOW, :_LOW].ravel()
    # The first is the mean brightness, far above all others.
    bits = low > np.median(low[1:])
    return int("".join("1" if bit else "0" for bit in bits), 2)


def _cosines() -> np.ndarray:
    """The discrete cosine transform (type 2) as a matrix [8, 32]."""
    frequency, place = np.mgrid[:_LOW, :_VIEW_PX]
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * _VIEW_PX))


def find_near_duplicates(hashes: Sequence[int], embeddings: Sequence[np.ndarray | None]) -> dict[int, int]:
    """Return which photographs nearly repeat an earlier one.

    Args:
        hashes: perceptual hash of each photograph.
        embeddings: of each one's subject, [128]; None where it isn't known.

    Returns:
        The earlier photograph's index by the later one's: at most 8 of 64 bits differ, and the faces are
        nearly the same.
    """
    near_duplicates: dict[int, int] = {}
    for later, mark in enumerate(hashes):
        for earlier in range(later):
            near = (mark ^ hashes[earlier]).bit_count() <= _SAME_BITS
            if near and earlier not in near_duplicates and _alike(embeddings[later], embeddings[earlier]):
                near_duplicates[later] = earlier
                break
    return near_duplicates


def _alike(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is None or other is None or float(np.linalg.norm(one - other)) < _SAME_DISTANCE
