"""Intervals hold what they promise, a tie is told as one, and its price is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import ttest_1samp

from dreamgui.evaluate.statistics import (
    Difference,
    Interval,
    holm,
    mean_interval,
    paired_difference,
    verdict,
)

SAMPLES = 400


def drawn(prompts: int, seeds: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Standard normal values [prompts, seeds]; ``share`` of the variance lies between prompts."""
    between = rng.normal(size=(prompts, 1)) * math.sqrt(share)
    return between + rng.normal(size=(prompts, seeds)) * math.sqrt(1 - share)


def coverage(prompts: int, seeds: int, share: float, skewed: bool) -> float:
    """Share of the samples whose interval holds the true mean."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(SAMPLES):
        values = drawn(prompts, seeds, share, rng)
        # The cube of a uniform value: many low scores, few high ones, with mean 1/4.
        found = mean_interval(ndtr(values) ** 3 if skewed else values)
        assert found is not None
        held += found.low <= (0.25 if skewed else 0.0) <= found.high
    return held / SAMPLES


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize(
    ("prompts", "seeds", "share", "most"),
    # Five single pictures: wider than it needs to be where values are normal, 97.7 of 100 (docs/metrics.md).
    [(5, 1, 1.0, 0.99), (5, 4, 0.1, 0.98), (5, 4, 0.5, 0.98), (25, 4, 0.3, 0.98)],
)
def test_the_interval_holds_the_mean_in_90_to_98_of_100_samples(
    prompts: int, seeds: int, share: float, most: float, skewed: bool
) -> None:
    assert 0.90 <= coverage(prompts, seeds, share, skewed) <= most


def test_the_percentile_interval_would_not() -> None:
    rng, held = np.random.default_rng(1), 0
    for _ in range(SAMPLES):
        values = rng.normal(size=5)
        low, high = np.percentile(values[rng.integers(0, 5, (1000, 5))].mean(axis=1), (2.5, 97.5))
        held += low <= 0 <= high
    assert held / SAMPLES < 0.90


def test_seeds_of_one_prompt_are_not_taken_for_prompts() -> None:
    """Twenty pictures of five prompts that differ much say as much as five, not as twenty."""
    rng = np.random.default_rng(0)
    values = drawn(5, 4, 0.95, rng)
    rightly, wrongly = mean_interval(values), mean_interval(values.ravel())
    assert rightly is not None and wrongly is not None
    assert rightly.high - rightly.low > 1.5 * (wrongly.high - wrongly.low)


def test_what_was_not_measured_is_left_out() -> None:
    assert mean_interval([None, None]) is None and mean_interval([]) is None
    assert mean_interval([0.4, None]) == Interval(0.4, -math.inf, math.inf, 1)
    assert mean_interval([[0.1], [0.5], [0.3]]) == mean_interval([0.1, 0.5, None, 0.3])
    table = np.array([[0.1, 0.2], [0.5, np.nan], [0.3, 0.3], [np.nan, np.nan], [0.2, 0.6]])
    found = mean_interval(table)
    assert found is not None and found.count == 7
    assert found.mean == pytest.approx(np.mean([0.15, 0.5, 0.3, 0.4])), "each prompt counts alike"


def test_equal_values_have_no_width_and_one_value_no_interval() -> None:
    same = mean_interval([0.3, 0.3, 0.3])
    assert same is not None and same.low == same.high == pytest.approx(0.3) and same.is_known
    alone = mean_interval([0.3])
    assert alone is not None and not alone.is_known and alone.text() == "0.30"


def test_few_prompts_have_students_interval() -> None:
    values = [0.1, 0.4, 0.3]
    found, student = mean_interval(values), ttest_1samp(values, 0)
    low, high = student.confidence_interval(0.95)
    assert found is not None and (found.low, found.high) == pytest.approx((low, high))
    difference = paired_difference(values, [0, 0, 0])
    assert difference is not None and difference.p == pytest.approx(student.pvalue)


def test_pairs_are_of_the_same_prompt_and_seed() -> None:
    base = np.array([[0.1, 0.9], [0.5, 0.2], [0.7, 0.7], [0.3, 0.8], [0.6, 0.1]])
    difference = paired_difference(base + 0.05, base)
    assert difference is not None and difference.interval.mean == pytest.approx(0.05)
    assert not difference.is_tie, "the same gain in every picture, though the pictures differ by far more"
    ours = np.where(np.arange(10).reshape(5, 2) == 3, np.nan, base + 0.05)
    fewer = paired_difference(ours, base)
    assert fewer is not None and fewer.interval.count == 9
    assert paired_difference([None, 0.2], [0.1, None]) is None


def test_the_p_value_and_the_interval_agree() -> None:
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(60):
        difference = paired_difference(drawn(6, 2, 0.3, rng) + 0.6, np.zeros((6, 2)))
        assert difference is not None
        assert difference.is_tie == (difference.p >= 0.05)
        seen.add(difference.is_tie)
    assert seen == {True, False}


def test_ties_between_equal_models_are_told_in_95_of_100() -> None:
    rng = np.random.default_rng(5)
    ties = 0
    for _ in range(SAMPLES):
        difference = paired_difference(drawn(5, 4, 0.3, rng), drawn(5, 4, 0.3, rng))
        assert difference is not None
        ties += difference.is_tie
    assert 0.90 <= ties / SAMPLES <= 0.98


def test_holm_multiplies_the_smallest_most() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.5]) == [1.0, 1.0] and holm([]) == []


def test_holm_keeps_the_family_at_5_of_100() -> None:
    rng, wrong, uncorrected = np.random.default_rng(7), 0, 0
    for _ in range(SAMPLES):
        p_values = list(rng.random(10))
        wrong += min(holm(p_values)) < 0.05
        uncorrected += min(p_values) < 0.05
    assert wrong / SAMPLES < 0.09 and uncorrected / SAMPLES > 0.3


def test_the_told_number_of_pictures_settles_a_tie_in_80_of_100() -> None:
    tie = Difference(Interval(0.5, -0.6, 1.6, 5), 0.3, 5, 1.0)
    pictures = tie.settling_pictures
    assert pictures == 34, "(1.96 + 0.84)^2 / 0.5^2 + 1.96^2 / 2"
    rng, settled = np.random.default_rng(9), 0
    for _ in range(SAMPLES):
        difference = paired_difference(rng.normal(0.5, 1.0, pictures), np.zeros(pictures))
        assert difference is not None
        settled += not difference.is_tie
    assert 0.73 <= settled / SAMPLES <= 0.87
    four_a_prompt = Difference(Interval(0.5, -0.6, 1.6, 20), 0.3, 5, 1.0)
    assert four_a_prompt.settling_pictures == 4 * 34
    assert Difference(Interval(0.0, -1, 1, 5), 1.0, 5, 1.0).settling_pictures is None


def test_verdicts() -> None:
    better = Difference(Interval(0.2, 0.1, 0.3, 20), 0.001, 5, 0.05)
    assert verdict(better, "anna", "base") == "anna is better than base (+0.20 [+0.10, +0.30] over 20 pairs)."
    worse = Difference(Interval(-0.2, -0.3, -0.1, 20), 0.001, 5, 0.05)
    assert verdict(worse, "anna", "base").startswith("base is better than anna (+")
    tie = Difference(Interval(0.1, -0.1, 0.3, 5), 0.3, 5, 0.2)
    assert "a tie" in verdict(tie, "anna", "base") and "34 pictures of each" in verdict(tie, "anna", "base")
    assert "Holm" in verdict(better, "anna", "base", 0.2) and "a tie" in verdict(better, "anna", "base", 0.2)
    far = Difference(Interval(0.001, -0.3, 0.302, 5), 0.9, 5, 0.2)
    assert "More than 1000" in verdict(far, "anna", "base")
    alone = paired_difference([0.4], [0.1])
    assert alone is not None and alone.is_tie and "one pair" in verdict(alone, "anna", "base")
