"""Means of few values, how far they can be trusted, and the verdict on a difference.

Values are tables [prompts, seeds]. NaN or None means "not measurable". Pictures of one prompt are alike, so prompts
are drawn first and seeds within a prompt second (two levels: Davison and Hinkley 1997, Bootstrap Methods and their
Application, section 3.8).

The percentile bootstrap of five prompts holds the true mean in 82 of 100 cases only. The interval here is the
symmetric studentized one (Hall 1988, https://doi.org/10.1111/j.2517-6161.1988.tb01709.x; for few clusters: Cameron,
Gelbach and Miller 2008, https://doi.org/10.1162/rest.90.3.414). docs/metrics.md has its coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import stdtr, stdtrit

LEVEL = 0.95
POWER = 0.8
"""Chance of a verdict that :attr:`Difference.settling_pictures` asks for."""
DRAWS = 4000
_LEAST_UNITS = 4
"""With fewer prompts, one draw in nine and more repeats a single prompt and has no spread of its own."""
_MANY = 1000
Values = np.ndarray | Sequence[float | None] | Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Interval:
    """A mean over ``count`` pictures and its 95 % interval. The ends are infinite where one value has no spread."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def is_known(self) -> bool:
        """Return whether the ends are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def text(self, sign: str = "") -> str:
        """Return "0.62 [0.51, 0.73]", or the mean alone where nothing is known of its spread.

        Args:
            sign: "+" to show the sign of positive numbers too.
        """
        mean = f"{self.mean:{sign}.2f}"
        return f"{mean} [{self.low:{sign}.2f}, {self.high:{sign}.2f}]" if self.is_known else mean


@dataclass(frozen=True)
class Difference:
    """A paired difference of two models.

    Attributes:
        interval: mean difference with its 95 % interval.
        p: two-sided p-value of "there is no difference", 0 to 1; of the same bootstrap, so that it is below 0.05 where
            the interval doesn't hold 0.
        prompts: over which it was taken.
        spread: standard deviation of the prompts' mean differences; NaN for one prompt.
    """

    interval: Interval
    p: float
    prompts: int
    spread: float

    @property
    def is_tie(self) -> bool:
        """Return whether the interval holds 0."""
        return self.interval.low <= 0 <= self.interval.high

    @property
    def settling_pictures(self) -> int | None:
        """Return the pictures of each model that would settle a tie in 80 of 100 comparisons.

        n = (z(0.975) + z(0.8))^2 s^2 / d^2 + z(0.975)^2 / 2 prompts, for the prompts' spread s and the mean difference
        d (Guenther 1981, https://doi.org/10.1080/00031305.1981.10479363), times the pictures a prompt. It takes the
        measured d for the true one. None where d is 0 or s isn't known.
        """
        if not self.interval.mean or not math.isfinite(self.spread):
            return None
        sure, power = NormalDist().inv_cdf((1 + LEVEL) / 2), NormalDist().inv_cdf(POWER)
        prompts = ((sure + power) * self.spread / self.interval.mean) ** 2 + sure**2 / 2
        return math.ceil(math.ceil(prompts) * self.interval.count / self.prompts)


def mean_interval(values: Values, seed: int = 0) -> Interval | None:
    """Return the mean with its 95 % interval, or None where no value is measurable.

    Each prompt counts alike, however many of its pictures are measurable. With one prompt, seeds take the prompts'
    place and the interval speaks of that prompt alone. With fewer than four prompts the interval is Student's.

    Args:
        values: [prompts, seeds], or [prompts] for one picture each.
        seed: of the draws, so that a report doesn't change when it is written again.
    """
    found = _measured(_table(values), seed)
    return None if found is None else found.interval


def paired_difference(ours: Values, theirs: Values, seed: int = 0) -> Difference | None:
    """Return how much higher ``ours`` is, picture by picture with the same prompt and seed.

    Pictures in which one of the two isn't measurable are left out; None where none is left.

    Args:
        ours: [prompts, seeds] or [prompts].
        theirs: of the same shape.
        seed: of the draws.
    """
    return _measured(_table(ours) - _table(theirs), seed)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for many comparisons, in the same order, 0 to 1.

    A verdict that holds where the adjusted value is below 0.05 is wrong anywhere in the whole family in at most 5 of
    100 comparisons (Holm 1979, https://www.jstor.org/stable/4615733).
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def verdict(difference: Difference, ours: str, theirs: str, adjusted_p: float | None = None) -> str:
    """Return a sentence: "a tie" where the interval of the difference holds 0, else the better model.

    Args:
        difference: of ours less theirs; higher is better.
        ours: name of a model.
        theirs: name of the other one.
        adjusted_p: of :func:`holm`, where several pairs are compared; a difference that fails it is a tie too.
    """
    interval = difference.interval
    numbers = f"{interval.text('+')} over {interval.count} pairs"
    if not interval.is_known:
        return f"{ours} and {theirs}: a tie, as one pair has no interval ({numbers})."
    if difference.is_tie:
        return f"{ours} and {theirs}: a tie ({numbers}).{_settled(difference)}"
    if adjusted_p is not None and adjusted_p >= 1 - LEVEL:
        return f"{ours} and {theirs}: a tie after Holm's correction (p {adjusted_p:.2f}; {numbers}).{_settled(difference)}"
    better, other = (ours, theirs) if interval.mean > 0 else (theirs, ours)
    ahead = (
        interval
        if interval.mean > 0
        else Interval(-interval.mean, -interval.high, -interval.low, interval.count)
    )
    return f"{better} is better than {other} ({ahead.text('+')} over {ahead.count} pairs)."


def _settled(difference: Difference) -> str:
    pictures = difference.settling_pictures
    if pictures is None or pictures <= difference.interval.count:
        return ""
    if pictures > _MANY:
        return f" More than {_MANY} pictures of each would be needed to tell them apart."
    return f" If the difference is as large as measured, {pictures} pictures of each would settle it."


def _table(values: Values) -> np.ndarray:
    """Values as float64 [prompts, seeds] with NaN for None."""
    table = np.array(values, dtype=np.float64)
    return table[:, None] if table.ndim == 1 else table


def _measured(table: np.ndarray, seed: int) -> Difference | None:
    rows = [row[~np.isnan(row)] for row in table]
    rows = [row for row in rows if row.size]
    if not rows:
        return None
    prompts, count = len(rows), sum(row.size for row in rows)
    units = rows if prompts > 1 else [np.array([value]) for value in rows[0]]
    means = np.array([row.mean() for row in units])
    mean = float(means.mean())
    spread = float(means.std(ddof=1)) if len(units) > 1 else math.nan
    if len(units) == 1:
        return Difference(Interval(mean, -math.inf, math.inf, count), 1.0, prompts, spread)
    error = spread / math.sqrt(len(units))
    reach, p = _reach(units, mean, error, seed)
    # Seeds of one prompt say nothing of how prompts differ.
    between = spread if prompts > 1 else math.nan
    return Difference(Interval(mean, mean - reach, mean + reach, count), p, prompts, between)


def _reach(units: Sequence[np.ndarray], mean: float, error: float, seed: int) -> tuple[float, float]:
    """Half of the interval's width, and the p-value of a mean of 0."""
    if error <= 1e-12 * max(1.0, abs(mean)):
        return 0.0, 0.0 if mean else 1.0
    ratio = abs(mean) / error
    if len(units) < _LEAST_UNITS:
        freedom = len(units) - 1
        return float(stdtrit(freedom, (1 + LEVEL) / 2)) * error, float(2 * stdtr(freedom, -ratio))
    drawn = _studentized(units, mean, seed)
    place = math.ceil(LEVEL * (len(drawn) + 1)) - 1
    limit = float(np.sort(drawn)[place])
    return limit * error, float(((drawn >= ratio).sum() + 1) / (len(drawn) + 1))


def _studentized(units: Sequence[np.ndarray], mean: float, seed: int) -> np.ndarray:
    """Distances [draws] of the drawn means from the mean, in standard errors of their own draw."""
    rng = np.random.default_rng(seed)
    counts = np.array([row.size for row in units])
    padded = np.zeros((len(units), counts.max()))
    for number, row in enumerate(units):
        padded[number, : row.size] = row
    chosen = rng.integers(0, len(units), (DRAWS, len(units)))
    places = (rng.random((DRAWS, len(units), padded.shape[1])) * counts[chosen][..., None]).astype(int)
    values = padded[chosen[..., None], places]
    # A prompt with two measurable pictures is drawn as two.
    taken = np.arange(padded.shape[1]) < counts[chosen][..., None]
    means = (values * taken).sum(axis=2) / counts[chosen]
    errors = means.std(axis=1, ddof=1) / math.sqrt(len(units))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.abs(means.mean(axis=1) - mean) / errors
    return np.nan_to_num(ratios, nan=0.0, posinf=np.inf)
