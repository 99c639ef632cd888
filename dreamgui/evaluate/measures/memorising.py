"""Memorising: nearness to the training's crops, and pictures that are nearly a copy of one.

Somepalli et al. 2023, https://arxiv.org/abs/2212.03860, find copies by an embedding. Here a perceptual hash of the whole
picture (Zauner 2010, http://www.phash.org/docs/pubs/thesis_zauner.pdf) proposes, and the face's embedding confirms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps
from scipy.fft import dctn

HASH_BITS = 255
_VIEW_PX, _LOW = 64, 16
COPY_HASH = 0.15
"""Share of different bits up to which a picture is a copy. Re-encoded, resized, mirrored and brightened copies reach
0.10, crops of two photographs 0.17 at least (docs/metrics.md)."""
COPY_FACE = 0.95
"""Least cosine of dlib's unit vectors of a copy's face and its crop's."""


@dataclass(frozen=True)
class Memorising:
    """Nearness of one picture.

    Attributes:
        trained: cosine with the nearest training crop, -1 to 1.
        held_out: cosine with the nearest held-out crop.
    """

    trained: float
    held_out: float

    @property
    def gap(self) -> float:
        """Return trained less held out, -2 to 2. A higher one says that the picture follows its training crops.

        More training crops than held-out ones raise it without memorising, so it is read beside the base's.
        """
        return self.trained - self.held_out


@dataclass(frozen=True)
class Copy:
    """A generated picture that is nearly a training crop.

    Attributes:
        picture: its number.
        crop: name of the crop.
        hash_distance: share of different hash bits, 0 (the same) to 0.5 (unrelated).
        mirrored: whether the picture is the crop's mirror image.
        face: cosine of the two faces; None where one of them shows none.
    """

    picture: int
    crop: str
    hash_distance: float
    mirrored: bool
    face: float | None


@dataclass(frozen=True)
class Crop:
    """A crop of the dataset.

    Attributes:
        name: its file.
        hashed: of :func:`perceptual_hash`.
        face: unit vector [n], None where no face was found.
    """

    name: str
    hashed: np.ndarray
    face: np.ndarray | None


def memorising(
    face: np.ndarray | None, trained: Sequence[np.ndarray], held_out: Sequence[np.ndarray]
) -> Memorising | None:
    """Return a face's nearness to training crops and held-out ones, or None where one of the three is missing.

    Args:
        face: unit vector [n] of the generated face, None where none was found.
        trained: unit vectors of the training crops.
        held_out: unit vectors of the held-out crops.
    """
    if face is None or not len(trained) or not len(held_out):
        return None
    nearest = (float((np.stack(crops) @ face).max()) for crops in (trained, held_out))
    return Memorising(*nearest)


def perceptual_hash(image: Image.Image) -> np.ndarray:
    """Return the picture's hash: signs of the 16 x 16 lowest frequencies of its brightness, against their median.

    Args:
        image: RGB, of any size and shape; it is brought to 64 x 64 pixels.

    Returns:
        [255] bool; the mean brightness is left out.
    """
    view = image.convert("L").resize((_VIEW_PX, _VIEW_PX), Image.Resampling.LANCZOS, reducing_gap=3.0)
    low = dctn(np.asarray(view, np.float64), norm="ortho")[:_LOW, :_LOW].reshape(-1)[1:]
    return low > np.median(low)


def copies(
    pictures: Sequence[Image.Image], faces: Sequence[np.ndarray | None], crops: Sequence[Crop]
) -> list[Copy]:
    """Return the pictures that are nearly a training crop, each with its nearest crop, the nearest pair first.

    Args:
        pictures: generated pictures, RGB.
        faces: their unit vectors, None where no face was found.
        crops: crops that were trained on, embedded by the same recogniser.
    """
    found = []
    for number, (picture, face) in enumerate(zip(pictures, faces, strict=True)):
        hashes = {False: perceptual_hash(picture), True: perceptual_hash(ImageOps.mirror(picture))}
        pairs = [_pair(number, hashes, face, crop) for crop in crops]
        near = [pair for pair in pairs if _is_copy(pair)]
        found += sorted(near, key=lambda pair: pair.hash_distance)[:1]
    return sorted(found, key=lambda pair: pair.hash_distance)


def _pair(number: int, hashes: Mapping[bool, np.ndarray], face: np.ndarray | None, crop: Crop) -> Copy:
    distances = {mirrored: float((hashed != crop.hashed).mean()) for mirrored, hashed in hashes.items()}
    mirrored = distances[True] < distances[False]
    cosine = None if face is None or crop.face is None else float(face @ crop.face)
    return Copy(number, crop.name, distances[mirrored], mirrored, cosine)


def _is_copy(pair: Copy) -> bool:
    return pair.hash_distance <= COPY_HASH and (pair.face is None or pair.face >= COPY_FACE)
