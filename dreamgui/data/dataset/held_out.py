"""Photographs that are set aside: never trained on, so that likeness can be told from memorising."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dreamgui.data.framing import Placement

LEAST_PHOTOGRAPHS = 3
_ONE_IN, _MOST = 8, 3
_TWO_FROM = 10
"""Photographs from which on two are set aside: likeness is measured against two and more."""


def how_many(photographs: int) -> int:
    """Return one in eight, at most three and at least two from 10 on, one below. Return 0 of one or two photographs, as all are needed."""
    if photographs < LEAST_PHOTOGRAPHS:
        return 0
    return max(2 if photographs >= _TWO_FROM else 1, min(_MOST, photographs // _ONE_IN))


def choose_held_out(
    options: Sequence[Sequence[Placement]], unfit: Sequence[bool], near_duplicates: Mapping[int, int]
) -> list[int]:
    """Indices of the photographs to set aside, spread evenly over the set.

    Args:
        options: each photograph's placements.
        unfit: whether a photograph should not be judged by, for instance as it shows somebody else.
        near_duplicates: photographs that nearly repeat an earlier one: neither may be set aside, as the other would be
            trained on.

    Returns:
        Up to :func:`how_many`; of each part of the set one that allows the most framings.
    """
    taken = set(near_duplicates) | set(near_duplicates.values())
    fit = [index for index in range(len(options)) if not unfit[index] and index not in taken]
    count = min(how_many(len(options)), len(fit))
    chosen = []
    for part in range(count):
        group = fit[part * len(fit) // count : (part + 1) * len(fit) // count]
        middle = group[len(group) // 2]
        chosen.append(max(group, key=lambda index: (len(options[index]), -abs(index - middle))))
    return chosen
