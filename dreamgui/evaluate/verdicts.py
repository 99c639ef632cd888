"""Verdicts on all pairs of models, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from dreamgui.evaluate.figures import Table
from dreamgui.evaluate.statistics import holm, mean_interval, paired_difference, verdict

MOST_PAIRS = 6


def verdicts(tables: Mapping[str, Table]) -> tuple[str, ...]:
    """Return a sentence on each pair of models, paired by prompt and seed, with Holm's correction over all pairs.

    With more than six pairs only those with the best model are told; the correction still counts all.

    Args:
        tables: scores [prompts][seeds] by model, of which higher is better.
    """
    pairs = []
    for ours, theirs in combinations(tables, 2):
        found = paired_difference(tables[ours], tables[theirs])
        if found is not None:
            pairs.append((ours, theirs, found))
    adjusted = holm([difference.p for *_, difference in pairs])
    best = max(tables, key=lambda name: _mean(tables[name]), default="")
    return tuple(
        verdict(difference, ours, theirs, p)
        for (ours, theirs, difference), p in zip(pairs, adjusted, strict=True)
        if len(pairs) <= MOST_PAIRS or best in (ours, theirs)
    )


def _mean(table: Table) -> float:
    found = mean_interval(table)
    return float("-inf") if found is None else found.mean
