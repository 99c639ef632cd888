"""Face recognisers by one small interface, so that checkpoints can be chosen by one and reported by another."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from PIL import Image

from dreamgui.data.faces.identity import embed_face


class Recogniser(Protocol):
    """A network that gives faces of one person vectors of one direction.

    Attributes:
        name: shown beside every number that it gives.
        source: authors, year and address, or the file's hash.
    """

    @property
    def name(self) -> str:
        """Return the name that stands beside every number."""
        ...

    @property
    def source(self) -> str:
        """Return authors, year and address, or the file and its hash."""
        ...

    def embed(self, image: Image.Image) -> np.ndarray | None:
        """Return the largest face's unit vector [n] float32, or None where no face is found.

        Args:
            image: RGB, upright, of any size.
        """
        ...


class Dlib:
    """dlib's network. Its author compares by Euclidean distance of the raw vectors. Here they are brought to length 1."""

    name = "dlib ResNet-29 (cosine of raw vectors)"
    source = "King 2017, http://blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html"

    def embed(self, image: Image.Image) -> np.ndarray | None:
        """Return the largest face's unit vector [128] float32, or None where no face is found."""
        vector = embed_face(image)
        return None if vector is None else unit(vector)


def unit(vector: np.ndarray) -> np.ndarray:
    """Return a vector [n], or each row of [count, n], brought to length 1. Zeros stay zeros."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return (vector / np.maximum(length, 1e-12)).astype(np.float32)
