"""Identity similarity: cosine between generated faces and photographs, between a floor and a ceiling.

The cosine of two faces of different people is 0 for some recognisers and 0.8 for others, so a raw mean says little. The
floor is the base's mean on the same prompts; the ceiling is what another photograph of the person reaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.photos.load import load_image
from dreamgui.evaluate.measures.recogniser import Recogniser, unit

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


@dataclass(frozen=True)
class Identity:
    """A model's identity similarity.

    Attributes:
        scores: of each picture, None where it shows no face.
        faces: share of the pictures with a face, 0 to 1.
        over_faces: means over the pictures with a face; None without one.
        with_zeros: means in which a picture without a face counts as 0.
        floor: the base's ``over_faces``.
        ceiling: what another photograph of the person reaches.
    """

    scores: tuple[Similarity | None, ...]
    floor: Similarity | None
    ceiling: Similarity | None

    @property
    def faces(self) -> float:
        """Return the share of the pictures that show a face, 0 to 1."""
        return sum(score is not None for score in self.scores) / max(1, len(self.scores))

    @property
    def over_faces(self) -> Similarity | None:
        """Return the means over the pictures with a face, or None without one."""
        return mean_of(self.scores)

    @property
    def with_zeros(self) -> Similarity | None:
        """Return the means in which a picture without a face counts as 0, or None without a picture."""
        return mean_of(score or Similarity(0.0, 0.0) for score in self.scores)

    @property
    def normalised(self) -> float | None:
        """Return (mean - floor) / (ceiling - floor) of the means over pairs and faces.

        0 is the base, 1 another photograph of the person; below 0 and above 1 are possible. None where one of the three
        is unknown, or the ceiling isn't above the floor.
        """
        mean = self.over_faces
        if mean is None or self.floor is None or self.ceiling is None:
            return None
        return normalised(mean.pairs, self.floor.pairs, self.ceiling.pairs)


def normalised(value: float, floor: float, ceiling: float) -> float | None:
    """Return a cosine's place between floor (0) and ceiling (1), or None where the ceiling isn't above the floor."""
    span = ceiling - floor
    return (value - floor) / span if span >= _LEAST_SPAN else None


def identity(
    faces: Sequence[np.ndarray | None], base_faces: Sequence[np.ndarray | None], references: References
) -> Identity:
    """Return a model's identity similarity.

    Args:
        faces: the model's pictures as unit vectors, None where no face was found.
        base_faces: the base's pictures of the same prompts and seeds.
        references: photographs, embedded by the same recogniser.
    """
    scores = tuple(references.score(face) for face in faces)
    floor = mean_of(references.score(face) for face in base_faces)
    return Identity(scores, floor, references.ceiling)


def references_of(dataset: Dataset, recogniser: Recogniser) -> References:
    """Return a dataset's photographs for a recogniser. Dropped crops never count.

    A photograph with several crops gets the mean direction of their faces.
    """
    kept = [entry for entry in dataset.entries if not entry.dropped]
    crops = [(entry, recogniser.embed(load_image(dataset.path(entry)))) for entry in kept]
    aside = [(entry.upload, vector) for entry, vector in crops if entry.held_out]
    others = [(entry.upload, vector) for entry, vector in crops if not entry.held_out]
    return References(recogniser.name, by_photograph(aside), by_photograph(others))


def by_photograph(crops: Iterable[tuple[str, np.ndarray | None]]) -> dict[str, np.ndarray]:
    """Return one unit vector a photograph from (photograph, unit vector or None) of its crops."""
    found: dict[str, list[np.ndarray]] = {}
    for name, vector in crops:
        if vector is not None:
            found.setdefault(name, []).append(vector)
    return {name: unit(np.mean(vectors, axis=0)) for name, vectors in found.items()}


def embedded(pictures: Iterable[Image.Image], recogniser: Recogniser) -> tuple[np.ndarray | None, ...]:
    """Return each picture's face as a unit vector, None where none is found."""
    return tuple(recogniser.embed(picture) for picture in pictures)


def mean_of(scores: Iterable[Similarity | None]) -> Similarity | None:
    """Return the means of the known scores, or None where none is known."""
    known = [score for score in scores if score is not None]
    if not known:
        return None
    return Similarity(
        float(np.mean([score.pairs for score in known])), float(np.mean([score.centroid for score in known]))
    )
