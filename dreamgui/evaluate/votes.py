"""A blind vote over pairs of pictures of one prompt and seed, and its result with an interval."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Literal

from dreamgui.errors import Damaged
from dreamgui.evaluate.statistics import LEVEL
from dreamgui.workspace import read_json, write_json

Choice = Literal["left", "right", "equal"]
FILE = "votes.json"
Place = tuple[str, str, int]
"""Model, prompt and seed."""


@dataclass(frozen=True)
class Pair:
    """Two pictures of one prompt and seed. The voter doesn't see the models' names."""

    prompt: str
    seed: int
    left: str
    right: str


@dataclass(frozen=True)
class Vote:
    """A voter's choice of one pair."""

    pair: Pair
    chosen: Choice

    @property
    def winner(self) -> str:
        """Return the chosen model, or "" for equal."""
        return {"left": self.pair.left, "right": self.pair.right}.get(self.chosen, "")


@dataclass(frozen=True)
class Tally:
    """The result of a vote on two models.

    Attributes:
        models: their names.
        wins: votes for each.
        equal: votes for neither.
        agreeing: votes for the picture of the higher likeness.
        judged: votes for one of two pictures whose likeness is known and differs.
    """

    models: tuple[str, str]
    wins: tuple[int, int]
    equal: int
    agreeing: int
    judged: int

    @property
    def share(self) -> tuple[float, float, float] | None:
        """Return the first model's share of the decided votes with its 95 % interval (Wilson 1927,
        https://doi.org/10.2307/2276774), or None without a decided vote."""
        count = sum(self.wins)
        if not count:
            return None
        share, z = self.wins[0] / count, NormalDist().inv_cdf((1 + LEVEL) / 2)
        middle = (share + z * z / (2 * count)) / (1 + z * z / count)
        reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
        return share, middle - reach, middle + reach

    @property
    def sentence(self) -> str:
        """Return the result in words."""
        one, other = self.models
        if self.share is None:
            return f"{one} against {other}: no vote for either, {self.equal} for equal."
        share, low, high = self.share
        told = (
            f"{one} was chosen over {other} in {self.wins[0]} of {sum(self.wins)} pairs "
            f"({100 * share:.0f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f}), {self.equal} equal"
        )
        verdict = " It is a tie." if low <= 0.5 <= high else ""
        agreed = (
            f" The choice agrees with likeness in {self.agreeing} of {self.judged} pairs."
            if self.judged
            else ""
        )
        return f"{told}.{verdict}{agreed}"


def pairs(places: Sequence[Place], one: str, other: str, seed: int) -> list[Pair]:
    """Return all pairs of two models in random order, each with a random side.

    Args:
        places: model, prompt and seed of each picture.
        one: name of a model.
        other: name of another one.
        seed: of the order and the sides.
    """
    rng = random.Random(seed)
    theirs = {(prompt, number) for model, prompt, number in places if model == other}
    both = [
        (prompt, number) for model, prompt, number in places if model == one and (prompt, number) in theirs
    ]
    rng.shuffle(both)
    return [Pair(prompt, number, *rng.sample((one, other), 2)) for prompt, number in both]


def tally(votes: Sequence[Vote], one: str, other: str, likeness: Mapping[Place, float | None]) -> Tally:
    """Return the result of the votes on two models. Votes on others are left out.

    Args:
        votes: in any order.
        one: name of a model.
        other: name of another one.
        likeness: of each picture, None without a face.
    """
    ours = [vote for vote in votes if {vote.pair.left, vote.pair.right} == {one, other}]
    agreeing, judged = 0, 0
    for vote in ours:
        left, right = (
            likeness.get((model, vote.pair.prompt, vote.pair.seed))
            for model in (vote.pair.left, vote.pair.right)
        )
        if vote.winner and left is not None and right is not None and left != right:
            judged += 1
            agreeing += (left > right) == (vote.chosen == "left")
    wins = tuple(sum(vote.winner == model for vote in ours) for model in (one, other))
    return Tally((one, other), (wins[0], wins[1]), sum(not vote.winner for vote in ours), agreeing, judged)


def kept_votes(folder: Path) -> list[Vote]:
    """Return the votes that were kept beside a report, or nothing where there was no vote.

    Raises:
        Damaged: the file can't be read.
    """
    file = folder / FILE
    if not file.is_file():
        return []
    try:
        return [Vote(Pair(**row["pair"]), row["chosen"]) for row in read_json(file)["votes"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(
            f"The votes in {file} can't be read: {error}.", "Delete the file and vote again."
        ) from error


def keep_vote(folder: Path, vote: Vote) -> list[Vote]:
    """Add a vote to those beside a report, and return all of them.

    Raises:
        Damaged: the file can't be read.
        NotEnoughDisk: the disk is full.
    """
    votes = [*kept_votes(folder), vote]
    write_json(folder / FILE, {"votes": [asdict(each) for each in votes]})
    return votes
