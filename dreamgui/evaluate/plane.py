"""The plane of checkpoints: identity against quality, the Pareto front, the suggested checkpoint, the onset of overtraining.

Quality is prompt fidelity where it is measured, else less damage. A checkpoint counts as good as the best one by the
one-standard-error rule (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3), here of the paired
difference: with few pictures, "a tie" alone would take hardly trained checkpoints for as good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dreamgui.evaluate.figures import Table
from dreamgui.evaluate.statistics import Interval, mean_interval, paired_difference

LEAST_POINTS = 3
"""Checkpoints from which on there is a plane."""


@dataclass(frozen=True)
class Point:
    """One checkpoint, strength or run.

    Attributes:
        name: the model's.
        method: run or method that it belongs to.
        step: optimizer steps.
        identity: similarity [prompts][seeds], -1 to 1; higher is better.
        quality: fidelity, or the negative of damage, of the same shape for all points; higher is better.
        memorising: gap [prompts][seeds], -2 to 2; lower is better. Empty where it isn't measured.
        strength: of a LoRA, where several are compared.
    """

    name: str
    method: str
    step: int
    identity: Table
    quality: Table
    memorising: Table = ()
    strength: float | None = None

    @property
    def place_in_words(self) -> str:
        """Return "step 600", or "step 600 at strength 0.8"."""
        return f"step {self.step}" + ("" if self.strength is None else f" at strength {self.strength:g}")

    @property
    def likeness(self) -> Interval | None:
        """Return the mean identity with its interval, or None where no face was found."""
        return mean_interval(self.identity)

    @property
    def place(self) -> tuple[float, float] | None:
        """Return the means (identity, quality), or None where one isn't known."""
        x, y = self.likeness, mean_interval(self.quality)
        return None if x is None or y is None else (x.mean, y.mean)


@dataclass(frozen=True)
class Suggestion:
    """The suggested checkpoint of a method.

    Attributes:
        point: it.
        best: the checkpoint of the highest identity; the same one where nothing is gained by another.
        onset: first checkpoint of overtraining; None where none is seen.
        last: whether it is the last one, so that longer training may help.
    """

    point: Point
    best: Point
    onset: Point | None
    last: bool

    def sentence(self, quality: str) -> str:
        """Return the suggestion in words.

        Args:
            quality: "fidelity", or "damage" where the points hold its negative.
        """
        point, best = self.point, self.best
        told = f"{point.method}: {point.place_in_words} "
        if point is best:
            told += f"is the most alike ({_likeness(point)})"
        else:
            told += (
                f"is as alike as {best.place_in_words} within the noise ({_likeness(point)} against {_likeness(best)})"
                f"{_gained(point, best, quality)}"
            )
        if self.onset:
            told += f". Overtraining begins at step {self.onset.step}: {_harm(self.onset, point, quality)}"
        elif self.last:
            told += ". It is the last step: longer training may make it more alike"
        return told + "."


def pareto_front(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the points that no other one beats in identity and quality, from the least alike to the most.

    Args:
        points: those without a place are left out. Of equal points all stay.
    """
    placed = [(point.place, point) for point in points if point.place is not None]
    front = [
        (place, point)
        for place, point in placed
        if not any(_beats(other, place) for other, _ in placed if other is not None and place is not None)
    ]
    return tuple(point for _, point in sorted(front, key=lambda pair: pair[0] or (0.0, 0.0)))


def suggestion(points: Sequence[Point]) -> Suggestion | None:
    """Return the suggested checkpoint of one method, or None where no checkpoint has a place.

    It is the one of the highest quality among those as alike as the most alike one, within one standard error. Overtraining
    is looked for among the checkpoints of its strength.

    Args:
        points: the method's checkpoints; any order.
    """
    known = sorted((point for point in points if point.place is not None), key=_order)
    if not known:
        return None
    best = max(known, key=lambda point: _at(point)[0])
    alike = [point for point in known if point is best or _within_noise(point.identity, best.identity)]
    chosen = max(alike, key=lambda point: (_at(point)[1], *(-each for each in _order(point))))
    of_strength = [point for point in known if point.strength == chosen.strength]
    last = chosen is of_strength[-1] and len(of_strength) > 1
    return Suggestion(chosen, best, onset(of_strength, chosen), last)


def onset(points: Sequence[Point], good: Point) -> Point | None:
    """Return the first checkpoint of overtraining, or None where none is seen.

    From it on, no checkpoint is more alike than the good one, and each is worse in quality or memorises more, all beyond
    the 95 % interval of the paired difference.

    Args:
        points: the method's checkpoints by step.
        good: the checkpoint that later ones are held against.
    """
    found = None
    for point in reversed([point for point in points if point.step > good.step]):
        if _is_higher(point.identity, good.identity) or not _worse(point, good):
            break
        found = point
    return found


def _order(point: Point) -> tuple[int, float]:
    return point.step, point.strength or 0.0


def _worse(point: Point, good: Point) -> list[str]:
    """The measures in which a checkpoint is worse beyond the noise."""
    found = ["quality"] if _is_higher(good.quality, point.quality) else []
    memorises = point.memorising and good.memorising and _is_higher(point.memorising, good.memorising)
    return found + (["memorising"] if memorises else [])


def _is_higher(ours: Table, theirs: Table) -> bool:
    difference = paired_difference(ours, theirs)
    return difference is not None and difference.interval.low > 0


def _within_noise(ours: Table, best: Table) -> bool:
    difference = paired_difference(best, ours)
    if difference is None:
        return False
    error = difference.spread / math.sqrt(difference.prompts) if math.isfinite(difference.spread) else 0.0
    return difference.interval.mean <= error


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]


def _at(point: Point) -> tuple[float, float]:
    place = point.place
    assert place is not None, "only points with a place are asked for it"
    return place


def _likeness(point: Point) -> str:
    likeness = point.likeness
    assert likeness is not None, "only points with a place are told"
    return likeness.text()


def _gained(point: Point, best: Point, quality: str) -> str:
    ours, theirs = _at(point)[1], _at(best)[1]
    if ours <= theirs:
        return ""
    if quality == "damage":
        return f", with less damage ({-ours:.2f} against {-theirs:.2f})"
    return f", with more {quality} ({ours:.2f} against {theirs:.2f})"


def _harm(point: Point, good: Point, quality: str) -> str:
    words = {
        "quality": "damage rises" if quality == "damage" else f"{quality} falls",
        "memorising": "memorising rises",
    }
    told = " and ".join(words[each] for each in _worse(point, good))
    return f"{told} beyond the noise, and similarity doesn't"
