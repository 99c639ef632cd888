"""Sizes of pictures: those that a base model generates well, and those of a start image."""

from __future__ import annotations

import math

_MULTIPLE = 8
_LARGE = 1.3


def fitting(size: tuple[int, int], base_px: int) -> tuple[int, int]:
    """Return width and height with these proportions and about the area of the base model's square.

    Args:
        size: width and height in any unit.
        base_px: side of the pictures that the base model was trained on.

    Returns:
        Multiples of 8.
    """
    scale = math.sqrt(base_px * base_px / (size[0] * size[1]))
    width, height = (max(_MULTIPLE, round(side * scale / _MULTIPLE) * _MULTIPLE) for side in size)
    return width, height


def is_large(size: tuple[int, int], base_px: int) -> bool:
    """Return whether a picture has so many pixels that the base model would repeat heads in it."""
    return size[0] * size[1] > _LARGE * base_px * base_px
