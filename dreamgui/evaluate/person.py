"""The person of a dataset, read once: everything that generated pictures are measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.dataset.entry import Entry
from dreamgui.data.photos.load import load_image
from dreamgui.evaluate.measures.identity import References, by_photograph
from dreamgui.evaluate.measures.memorising import Crop, copies, memorising, perceptual_hash
from dreamgui.evaluate.measures.reading import DLIB, Reading, read
from dreamgui.evaluate.measures.recogniser import Dlib
from dreamgui.evaluate.measures.sface import SFace
from dreamgui.evaluate.reference import Reference, reference_from
from dreamgui.events import Cell

Vectors = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class CopyPair:
    """A generated picture that is nearly a training crop, with both pictures.

    Attributes:
        cell: the generated one.
        crop: the training crop.
        name: its file.
        hash_distance: share of different hash bits, 0 (the same) to 0.5 (unrelated).
        face: cosine of the two faces; None where one of them shows none.
    """

    cell: Cell
    crop: Image.Image
    name: str
    hash_distance: float
    face: float | None


@dataclass(frozen=True)
class Person:
    """The photographs of one person.

    Attributes:
        reference: the faces of likeness.
        references: photographs as unit vectors, by the name of the recogniser's figure; empty without a face.
        crops: crops that are trained on, with where they lie.
        held_out: dlib's unit vectors of the held-out crops.
        second: the second recogniser, None where its file isn't there.
    """

    reference: Reference
    references: Mapping[str, References]
    crops: Mapping[Path, Crop]
    held_out: Vectors
    second: SFace | None = None

    def read(self, picture: Image.Image) -> Reading:
        """Return what is known of a generated picture's face."""
        return read(picture, self.second)

    def scores(self, reading: Reading) -> dict[str, float | None]:
        """Return a generated picture's scores by name, or None without a face. docs/metrics.md describes each."""
        found: dict[str, float | None] = {}
        if self.reference.person:
            found["likeness"] = self.reference.person.score_of(reading.raw)
        for name, references in self.references.items():
            similarity = references.score(reading.vectors[name])
            found[name] = None if similarity is None else similarity.pairs
            if name == DLIB:
                found["identity_centroid"] = None if similarity is None else similarity.centroid
        trained = [crop.face for crop in self.crops.values() if crop.face is not None]
        if trained and self.held_out:
            near = memorising(reading.vectors[DLIB], trained, self.held_out)
            found["memorising"] = None if near is None else near.gap
        view = reading.view
        found["yaw"] = None if view is None else view.yaw
        found["face_height"] = None if view is None else view.height_share
        found["sharpness"] = None if view is None else view.sharpness
        return found

    def copies(self, cells: Sequence[Cell], readings: Sequence[Reading]) -> tuple[CopyPair, ...]:
        """Return the cells that are nearly a training crop, the nearest pair first.

        Args:
            cells: with PIL pictures.
            readings: of the same pictures.
        """
        pictures = [cell.image for cell in cells if isinstance(cell.image, Image.Image)]
        faces = [reading.vectors[DLIB] for reading in readings]
        places = {crop.name: path for path, crop in self.crops.items()}
        return tuple(
            CopyPair(
                cells[pair.picture], load_image(places[pair.crop]), pair.crop, pair.hash_distance, pair.face
            )
            for pair in copies(pictures, faces, list(self.crops.values()))
        )


def person_of(dataset: Dataset, second: SFace | None = None) -> Person:
    """Return the person of a dataset. Each crop is read once, and dropped ones never count.

    Args:
        dataset: with its crops on the disk.
        second: the second recogniser, where its file is there.
    """
    kept = [entry for entry in dataset.entries if not entry.dropped]
    images = [load_image(dataset.path(entry)) for entry in kept]
    crops = [(entry, read(image, second)) for entry, image in zip(kept, images, strict=True)]
    names = crops[0][1].vectors if crops else {DLIB: None}
    recognisers = {name: second.name if second and name != DLIB else Dlib.name for name in names}
    trained = {
        dataset.path(entry): Crop(entry.file, perceptual_hash(image), reading.vectors[DLIB])
        for image, (entry, reading) in zip(images, crops, strict=True)
        if not entry.held_out
    }
    aside = [reading.vectors[DLIB] for entry, reading in crops if entry.held_out]
    references = {name: _references(title, name, crops) for name, title in recognisers.items()}
    return Person(
        reference=reference_from([(entry, reading.raw) for entry, reading in crops]),
        references={name: found for name, found in references.items() if found.count},
        crops=trained,
        held_out=tuple(vector for vector in aside if vector is not None),
        second=second,
    )


def _references(title: str, name: str, crops: Sequence[tuple[Entry, Reading]]) -> References:
    """One recogniser's photographs."""
    aside, others = (
        by_photograph(
            (entry.upload, reading.vectors[name]) for entry, reading in crops if entry.held_out == out
        )
        for out in (True, False)
    )
    return References(title, aside, others)
