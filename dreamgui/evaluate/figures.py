"""Figures from tables of scores. :mod:`dreamgui.evaluate.metrics` says of each what it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from dreamgui.evaluate.measures.drift import Thumbnail, damage
from dreamgui.evaluate.measures.framing import Spread
from dreamgui.evaluate.measures.identity import References, normalised
from dreamgui.evaluate.statistics import Interval, mean_interval
from dreamgui.events import Cell

Table = Sequence[Sequence[float | None]]
"""Scores [prompts][seeds]; None without a face."""
Figures = dict[str, float | None]


def named(name: str, interval: Interval | None) -> Figures:
    """Return a mean and the ends of its interval by name, or None where they aren't known."""
    if interval is None or not interval.is_known:
        return {name: None if interval is None else interval.mean, f"{name}_low": None, f"{name}_high": None}
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def similarity_figures(name: str, scores: Table, base: Table | None, references: References) -> Figures:
    """Return a recogniser's figures: mean, floor, ceiling, and the mean between the two.

    Floor and ceiling count as known: the normalised interval doesn't hold their own errors.

    Args:
        name: of the recogniser's figures.
        scores: the model's cosines.
        base: the base's of the same prompts and seeds; None where it wasn't compared.
        references: with the ceiling.
    """
    found = named(name, mean_interval(scores))
    floor = None if base is None else mean_interval(base)
    ceiling = references.ceiling
    low, high = (None if floor is None else floor.mean), (None if ceiling is None else ceiling.pairs)
    for end in ("", "_low", "_high"):
        value = found[f"{name}{end}"]
        known = value is not None and low is not None and high is not None
        found[f"{name}_normalised{end}"] = normalised(value, low, high) if known else None
    return {**found, f"{name}_floor": low, f"{name}_ceiling": high}


def with_zeros(scores: Table, generated: Iterable[Iterable[bool]]) -> Interval | None:
    """Return the mean in which a picture without a face counts as 0, or None where no picture was generated."""
    return mean_interval(
        [
            [(score or 0.0) if there else None for score, there in zip(row, found, strict=True)]
            for row, found in zip(scores, generated, strict=True)
        ]
    )


def framing_figures(spread: Spread) -> Figures:
    """Return the spread of poses and sizes of the faces."""
    return {
        "yaw_spread": spread.yaw_spread,
        "size_spread": spread.size_spread,
        "frontal_share": spread.frontal_share,
        "close_up_share": spread.close_up_share,
        "sharpness": spread.sharpness,
    }


def damages(ours: Sequence[Cell], base: Sequence[Cell]) -> dict[int, tuple[float | None, float]]:
    """Return the damage of each picture without the token by its seed, as (1 - cosine, pixels).

    Args:
        ours: the model's pictures of the class prompt.
        base: the base's; seeds that it lacks are left out.
    """
    theirs = {cell.seed: cell.image for cell in base}
    found = {}
    for cell in ours:
        one, other = cell.image, theirs.get(cell.seed)
        if isinstance(one, Image.Image) and isinstance(other, Image.Image):
            moved = damage([one], [other], Thumbnail())
            assert moved is not None
            found[cell.seed] = (moved.embedding, moved.pixels)
    return found


def damage_figures(found: dict[int, tuple[float | None, float]]) -> Figures:
    """Return the mean damages. The interval is over the seeds of the one class prompt."""
    moved = [embedding for embedding, _ in found.values()]
    pixels = float(np.mean([pixels for _, pixels in found.values()])) if found else None
    return {**named("damage", mean_interval(moved) if moved else None), "damage_pixels": pixels}
