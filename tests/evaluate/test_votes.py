"""A blind vote: pairs in random order and sides, the result with its interval, kept beside the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dreamgui.errors import Damaged
from dreamgui.evaluate.votes import FILE, Choice, Pair, Vote, keep_vote, kept_votes, pairs, tally

PLACES = [(model, f"p{n}", n) for model in ("base", "anna") for n in range(40)]


def votes(*chosen: Choice) -> list[Vote]:
    """Votes on anna (left) against base."""
    return [Vote(Pair(f"p{n}", n, "anna", "base"), choice) for n, choice in enumerate(chosen)]


def test_all_pairs_come_once_on_random_sides() -> None:
    found = pairs(PLACES, "base", "anna", 3)
    assert sorted(pair.seed for pair in found) == list(range(40))
    assert {frozenset((pair.left, pair.right)) for pair in found} == {frozenset(("base", "anna"))}
    assert 10 < sum(pair.left == "anna" for pair in found) < 30
    assert [pair.seed for pair in found] != sorted(pair.seed for pair in found)
    assert found == pairs(PLACES, "base", "anna", 3) != pairs(PLACES, "base", "anna", 4)
    assert pairs(PLACES[:41], "base", "anna", 0) == [*pairs(PLACES[:1] + PLACES[40:41], "base", "anna", 0)]


def test_the_interval_is_wilsons() -> None:
    found = tally(votes(*["left"] * 9, "right", "equal"), "anna", "base", {})
    assert (found.wins, found.equal) == ((9, 1), 1)
    assert found.share == pytest.approx((0.9, 0.5958, 0.9821), abs=1e-3)
    assert "9 of 10" in found.sentence and "tie" not in found.sentence
    assert tally(votes("equal"), "anna", "base", {}).share is None
    assert "a tie" in tally(votes("left", "right"), "anna", "base", {}).sentence


def test_agreement_with_likeness_counts_decided_pairs_with_two_faces() -> None:
    likeness = {("anna", "p0", 0): 0.9, ("base", "p0", 0): 0.1, ("anna", "p1", 1): 0.2, ("base", "p1", 1): 0.6,
                ("anna", "p2", 2): None, ("base", "p2", 2): 0.6}  # fmt: skip
    found = tally(votes("left", "left", "left", "equal"), "base", "anna", likeness)
    assert (found.agreeing, found.judged, found.wins) == (1, 2, (0, 3))
    assert "agrees with likeness in 1 of 2 pairs" in found.sentence


def test_votes_on_other_models_are_left_out() -> None:
    assert tally(votes("left"), "anna", "third", {}).wins == (0, 0)


def test_votes_are_kept_beside_the_report(tmp_path: Path) -> None:
    assert kept_votes(tmp_path) == []
    first, second = votes("left", "equal")
    keep_vote(tmp_path, first)
    assert keep_vote(tmp_path, second) == [first, second] == kept_votes(tmp_path)
    (tmp_path / FILE).write_text(json.dumps({"votes": [{"pair": {}}]}))
    with pytest.raises(Damaged, match=r"votes.json can't be read"):
        kept_votes(tmp_path)
