"""Order of models by their figures."""

from __future__ import annotations

from collections.abc import Mapping

WORST = float("inf")


def best_of(figures: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """Return the names, the best first: by likeness (higher), without one by validation loss, then by loss (lower)."""

    def rank(name: str) -> tuple[float, ...]:
        likeness, *losses = (figures[name].get(figure) for figure in ("likeness", "validation", "loss"))
        lower_is_better = [None if likeness is None else -likeness, *losses]
        return tuple(WORST if value is None else value for value in lower_is_better)

    return sorted(figures, key=rank)
