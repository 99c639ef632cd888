"""Whether the class ("woman") stayed itself while a model learned one person.

Prior preservation is there to keep it (Ruiz et al. 2022, https://arxiv.org/abs/2208.12242). The paper
measures the same two things: how diverse the class pictures are, and how much they look like the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from PIL import Image

from dreamgui.evaluate.identity import Likeness, embed_face

CLASS_PICTURES = 6
"""Pictures of the class a model: fifteen pairs, for a few seconds of drawing."""


@dataclass(frozen=True)
class ClassDrift:
    """What the class pictures of one model show.

    Attributes:
        likeness: each picture's likeness to the trained person, from 0 to 1; None where no face was found.
        diversity: mean distance between the faces of two pictures (about 0.6 and more in photographs of
            different people); None with fewer than two faces.
    """

    likeness: tuple[float | None, ...]
    diversity: float | None


def class_drift(pictures: Sequence[Image.Image], person: Likeness) -> ClassDrift:
    """Measure pictures drawn from the class prompt, without the person's token."""
    embeddings = [embed_face(picture) for picture in pictures]
    likeness = tuple(
        None if face is None else max(0.0, 1.0 - float(np.linalg.norm(face - person.mean)))
        for face in embeddings
    )
    faces = [face for face in embeddings if face is not None]
    distances = [float(np.linalg.norm(one - other)) for one, other in combinations(faces, 2)]
    return ClassDrift(likeness, float(np.mean(distances)) if distances else None)
