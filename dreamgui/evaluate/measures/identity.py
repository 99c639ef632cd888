"""Identity similarity: cosine between generated faces and photographs, between a floor and a ceiling.

The cosine of two faces of different people is 0 for some recognisers and 0.8 for others, so a raw mean says little. The
floor is the base's mean on the same prompts; the ceiling is what another photograph of the person reaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from dreamgui.evaluate.measures.recogniser import unit

LEAST_HELD_OUT = 3
"""Held-out photographs with a face from which on they alone are the references."""
_LEAST_SPAN = 0.01
"""Below this distance of floor and ceiling, the normalised value would be noise."""


@dataclass(frozen=True)
class Similarity:
    """A picture's cosines, each -1 to 1, higher is more alike.

    Attributes:
        pairs: mean over all references.
        centroid: with the references' mean direction.
    """

    pairs: float
    centroid: float


@dataclass(frozen=True)
class References:
    """Photographs of the person as unit vectors, one a photograph.

    Attributes:
        recogniser: its name.
        held_out: vectors [n] of photographs that are never trained on, by photograph.
        trained: those of all others.
    """

    recogniser: str
    held_out: Mapping[str, np.ndarray]
    trained: Mapping[str, np.ndarray]
    _used: Mapping[str, np.ndarray] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        used = self.held_out if self.only_held_out else {**self.trained, **self.held_out}
        object.__setattr__(self, "_used", used)

    @property
    def only_held_out(self) -> bool:
        """Return whether no reference is trained on."""
        return len(self.held_out) >= LEAST_HELD_OUT

    @property
    def count(self) -> int:
        """Return the number of photographs that pictures are compared with."""
        return len(self._used)

    @property
    def vectors(self) -> tuple[np.ndarray, ...]:
        """Return the unit vectors that pictures are compared with."""
        return tuple(self._used.values())

    @property
    def sentence(self) -> str:
        """Return a sentence for the report."""
        if not self.count:
            return "No face was found in the photographs, so identity similarity isn't measured."
        if self.only_held_out:
            return f"Identity similarity is measured against {self.count} held-out photographs, never trained on."
        counted = "1 photograph" if self.count == 1 else f"all {self.count} photographs"
        return (
            f"Identity similarity is measured against {counted}, trained on too, as fewer than {LEAST_HELD_OUT} held-out "
            "ones show a face: it can't be told from memorising. The ceiling leaves each photograph out in turn."
        )

    def score(self, face: np.ndarray | None, without: str = "") -> Similarity | None:
        """Return a face's similarity to the references, or None without a face or a reference.

        Args:
            face: unit vector [n] of the same recogniser.
            without: photograph to leave out, the face's own.
        """
        others = [vector for name, vector in self._used.items() if name != without]
        if face is None or not others:
            return None
        table = np.stack(others)
        return Similarity(float((table @ face).mean()), float(unit(table.mean(axis=0)) @ face))

    @property
    def ceiling(self) -> Similarity | None:
        """Return the mean similarity of each photograph to the references other than itself, or None with fewer than two.

        It is "another photograph of the same person". Several crops of one photograph are one photograph.
        """
        real = {**self.trained, **self.held_out}
        return mean_of(self.score(vector, without=name) for name, vector in real.items())


def normalised(value: float, floor: float, ceiling: float) -> float | None:
    """Return a cosine's place between floor (0) and ceiling (1), or None where the ceiling isn't above the floor."""
    span = ceiling - floor
    return (value - floor) / span if span >= _LEAST_SPAN else None


def by_photograph(crops: Iterable[tuple[str, np.ndarray | None]]) -> dict[str, np.ndarray]:
    """Return one unit vector a photograph from (photograph, unit vector or None) of its crops."""
    found: dict[str, list[np.ndarray]] = {}
    for name, vector in crops:
        if vector is not None:
            found.setdefault(name, []).append(vector)
    return {name: unit(np.mean(vectors, axis=0)) for name, vectors in found.items()}


def mean_of(scores: Iterable[Similarity | None]) -> Similarity | None:
    """Return the means of the known scores, or None where none is known."""
    known = [score for score in scores if score is not None]
    if not known:
        return None
    return Similarity(
        float(np.mean([score.pairs for score in known])), float(np.mean([score.centroid for score in known]))
    )
