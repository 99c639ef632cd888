from __future__ import annotations

import numpy as np
import pytest

from dreamgui.data.dataset.held_out import choose_held_out, how_many
from dreamgui.data.faces.subject import agreement, find_person, majority
from dreamgui.data.framing import Placement

DICE = np.random.default_rng(0)


def person(number: int) -> np.ndarray:
    """A made embedding; two persons lie about 0.8 apart, as dlib's do."""
    direction = np.random.default_rng(1000 + number).normal(size=128)
    return 0.57 * direction / np.linalg.norm(direction)


def seen(number: int, by: float = 0.26) -> np.ndarray:
    """Another photograph of a person; two of them lie about 0.37 apart."""
    away = DICE.normal(size=128)
    return (person(number) + by * away / np.linalg.norm(away)).astype(np.float32)


def test_the_person_of_most_photographs_is_found_in_each() -> None:
    rows = [[seen(0), seen(photo)] for photo in range(1, 8)] + [[seen(9)], [None, seen(0)]]
    weights = [[0.1, 0.4]] * 7 + [[0.5], [0.2, 0.2]]
    mean = majority(rows, weights)
    assert mean is not None
    assert [find_person(row, mean) for row in rows] == [0] * 7 + [None, 1]
    assert agreement(seen(0), mean) > 0.5 and agreement(seen(9), mean) < 0.4 and agreement(None, mean) == 0


def test_of_two_who_are_always_together_the_larger_one_is_the_subject() -> None:
    rows = [[seen(1), seen(2)] for _ in range(6)]
    mean = majority(rows, [[0.05, 0.6]] * 6)
    assert mean is not None and [find_person(row, mean) for row in rows] == [1] * 6


def test_a_companion_in_half_of_the_photographs_isnt_the_subject_even_in_one_same_picture() -> None:
    companion = seen(2)
    rows = [[companion, seen(1)] for _ in range(5)] + [[seen(1)] for _ in range(5)]
    mean = majority(rows, [[0.5, 0.1]] * 5 + [[0.1]] * 5)
    assert mean is not None and find_person(rows[0], mean) == 1


def test_without_agreement_there_is_nobody() -> None:
    assert majority([[seen(1)], [seen(2)], [seen(3)]], [[0.5]] * 3) is None
    assert majority([[seen(1)]], [[0.5]]) is None
    assert majority([[None], []], [[0.5], []]) is None


@pytest.mark.parametrize(
    ("photographs", "aside"), [(1, 0), (2, 0), (3, 1), (9, 1), (10, 2), (15, 2), (16, 2), (24, 3), (200, 3)]
)
def test_one_in_eight_is_held_out(photographs: int, aside: int) -> None:
    assert how_many(photographs) == aside
    options = [[Placement("close-up", (0, 0, 9, 9), 0.5, 1.0, 0, False)]] * photographs
    chosen = choose_held_out(options, [False] * photographs, {})
    assert len(set(chosen)) == aside


def test_twins_and_doubtful_photographs_are_never_held_out() -> None:
    options = [[Placement("close-up", (0, 0, 9, 9), 0.5, 1.0, 0, False)]] * 10
    unfit = [number < 6 for number in range(10)]
    assert set(choose_held_out(options, unfit, {8: 7})) <= {6, 9}
    assert choose_held_out(options, [True] * 10, {}) == []
