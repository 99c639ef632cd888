"""The faces that likeness is measured against, everywhere: the held-out photographs of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.dataset.entry import Entry
from dreamgui.data.faces.identity import Likeness, embed_face
from dreamgui.data.photos.load import load_image

LEAST_PHOTOGRAPHS = 2
"""Held-out photographs that are needed: the mean of one face says too much of its light and its turn."""


@dataclass(frozen=True)
class Reference:
    """The reference of a measurement.

    Attributes:
        person: scores pictures; None where no crop shows a face.
        photographs: how many photographs with a face it was made from.
        held_out: whether none of them is trained on.
    """

    person: Likeness | None
    photographs: int
    held_out: bool

    @property
    def sentence(self) -> str:
        """A sentence for the report."""
        if self.person is None:
            return "No face was found in the dataset's pictures, so likeness isn't measured."
        if self.held_out:
            return f"Likeness is measured against {self.photographs} held-out photographs, never trained on."
        count = "1 photograph" if self.photographs == 1 else f"all {self.photographs} photographs"
        return (
            f"Likeness is measured against {count}, trained on too, as fewer than {LEAST_PHOTOGRAPHS} held-out "
            "ones show a face: it can't be told from memorising. Set more aside in Dataset."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """The sentence, where the user should know it before the end."""
        return () if self.held_out else (self.sentence,)

    def data(self) -> dict[str, object]:
        """The reference as report.json holds it."""
        return {"photographs": self.photographs, "held_out": self.held_out}


def reference_of(dataset: Dataset) -> Reference:
    """Return the held-out faces, or those of all photographs where fewer than two held-out ones show a face.

    Dropped crops never count. Several crops of one photograph count as one photograph.
    """
    kept = [entry for entry in dataset.entries if not entry.dropped]
    aside = _embedded(dataset, (entry for entry in kept if entry.held_out))
    if len({entry.upload for entry, face in aside if face is not None}) >= LEAST_PHOTOGRAPHS:
        return reference_from(aside)
    return reference_from([*aside, *_embedded(dataset, (entry for entry in kept if not entry.held_out))])


def reference_from(crops: Sequence[tuple[Entry, np.ndarray | None]]) -> Reference:
    """Return the reference from crops that were embedded before, as :func:`reference_of` does.

    Args:
        crops: each with its embedding [128], None where no face was found.
    """
    aside = _by_photograph(crop for crop in crops if crop[0].held_out)
    held_out = len(aside) >= LEAST_PHOTOGRAPHS
    found = aside if held_out else aside | _by_photograph(crop for crop in crops if not crop[0].held_out)
    embeddings = [embedding for faces in found.values() for embedding in faces]
    person = Likeness(np.stack(embeddings)) if embeddings else None
    return Reference(person, len(found), held_out)


def _embedded(dataset: Dataset, entries: Iterable[Entry]) -> list[tuple[Entry, np.ndarray | None]]:
    return [(entry, embed_face(load_image(dataset.path(entry)))) for entry in entries]


def _by_photograph(crops: Iterable[tuple[Entry, np.ndarray | None]]) -> dict[str, list[np.ndarray]]:
    """Embeddings [128] by photograph, of the crops in which a face was found."""
    found: dict[str, list[np.ndarray]] = {}
    for entry, embedding in crops:
        if embedding is not None:
            found.setdefault(entry.upload, []).append(embedding)
    return found
