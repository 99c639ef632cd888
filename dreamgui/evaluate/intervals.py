"""Means of few values, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean over ``count`` values and the interval that holds it in 95 of 100 draws."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


def bootstrap(values: Sequence[float | None], draws: int = 4000, seed: int = 0) -> Interval | None:
    """The mean with its 95 % percentile bootstrap interval (Efron, 1979); None when there is no value.

    With five values the interval is rather too narrow: the method can't know of what wasn't drawn.

    Args:
        values: measured values; None (not measurable) is left out.
        draws: how often the values are drawn again with replacement.
        seed: of those draws, so that a report doesn't change when it is written again.
    """
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not known.size:
        return None
    chosen = np.random.default_rng(seed).integers(0, known.size, (draws, known.size))
    low, high = np.percentile(known[chosen].mean(axis=1), (2.5, 97.5))
    return Interval(float(known.mean()), float(low), float(high), int(known.size))


def paired_gain(values: Sequence[float | None], reference: Sequence[float | None]) -> Interval | None:
    """How much higher ``values`` are than ``reference``, cell by cell (same prompt, same seed).

    Cells in which one of the two can't be measured are left out. A low end above 0 says that the gain isn't
    chance.
    """
    pairs = zip(values, reference, strict=True)
    return bootstrap([ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None])
