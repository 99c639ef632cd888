"""The share of simulated comparisons whose 95 % interval holds the true mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamgui.evaluate.statistics import mean_interval

SHAPES = ((5, 1), (5, 4), (25, 4))
ROUNDS = 400
_Rng = np.random.Generator


def _normal(rng: _Rng, size: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=size)


def _skewed(rng: _Rng, size: tuple[int, ...]) -> np.ndarray:
    return rng.exponential(size=size) - 1


def coverage(home: Path) -> Mapping[str, Any]:
    """Prompts differ by 0.1, seeds of a prompt by 0.05, around a mean of 0.5; 400 comparisons a case."""
    kinds: dict[str, Callable[[_Rng, tuple[int, ...]], np.ndarray]] = {"normal": _normal, "skewed": _skewed}
    shares = {}
    for name, draw in kinds.items():
        for prompts, seeds in SHAPES:
            rng, held = np.random.default_rng(7), 0
            for number in range(ROUNDS):
                table = 0.5 + 0.1 * draw(rng, (prompts, 1)) + 0.05 * draw(rng, (prompts, seeds))
                found = mean_interval(table, number)
                held += found is not None and found.low <= 0.5 <= found.high
            shares[f"{name} {prompts} x {seeds}"] = held / ROUNDS
    return {
        "what": "coverage of the bootstrap's 95 % intervals in a simulation",
        "must": "0.90 to 0.98",
        "measured": shares,
        "reached": all(0.90 <= share <= 0.98 for share in shares.values()),
        "note": f"{ROUNDS} comparisons a case, so one share is known to 0.02.",
    }
