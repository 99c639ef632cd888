"""Drift of the class ("woman") while a model was trained on one person.

Prior preservation is there to keep it (Ruiz et al. 2022, https://arxiv.org/abs/2208.12242). The paper
measures the same two things: how diverse the class pictures are, and how much they look like the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from PIL import Image

from dreamgui.data.faces.identity import Likeness, embed_face
from dreamgui.evaluate.measures.drift import Thumbnail, div, pres
from dreamgui.evaluate.measures.recogniser import unit

CLASS_PICTURES = 6
"""Pictures of the class a model: fifteen pairs, for a few seconds of drawing."""


@dataclass(frozen=True)
class ClassDrift:
    """Figures of one model's class pictures.

    Attributes:
        likeness: each picture's likeness to the trained person, from 0 to 1; None where no face was found.
        diversity: mean distance between the faces of two pictures (about 0.6 and more in photographs of
            different people); None with fewer than two faces.
        pres: PRES by face vectors; None where no pair of faces is known.
        div: DIV by thumbnails; None with fewer than two pictures.
    """

    likeness: tuple[float | None, ...]
    diversity: float | None
    pres: float | None = None
    div: float | None = None


def class_drift(
    pictures: Sequence[Image.Image], person: Likeness, photographs: Sequence[np.ndarray] = ()
) -> ClassDrift:
    """Measure pictures of the class prompt, without the person's token.

    Args:
        pictures: RGB.
        person: that was trained.
        photographs: dlib's unit vectors of the person's photographs, for PRES.
    """
    embeddings = [embed_face(picture) for picture in pictures]
    likeness = tuple(
        None if face is None else max(0.0, 1.0 - float(np.linalg.norm(face - person.mean)))
        for face in embeddings
    )
    faces = [face for face in embeddings if face is not None]
    distances = [float(np.linalg.norm(one - other)) for one, other in combinations(faces, 2)]
    diversity = float(np.mean(distances)) if distances else None
    thumbnail = Thumbnail()
    return ClassDrift(
        likeness,
        diversity,
        pres([unit(face) for face in faces], photographs),
        div([[thumbnail.embed(picture) for picture in pictures]]),
    )
