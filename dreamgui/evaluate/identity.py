"""How much a drawn person looks like the person in the photographs.

dlib's face recognition network (Davis King, 2017,
http://blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html) gives 128 numbers a face; faces of
one person lie less than about 0.6 apart.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dreamgui.data.faces import Face, detect_faces
from dreamgui.errors import BadPhoto, Damaged

SAME_PERSON_DISTANCE = 0.6
"""Below this distance two photographs show the same person, says the network's author."""
_MARGIN = 1.0
_LOCK = threading.Lock()


def embed_face(image: Image.Image, face: Face | None = None) -> np.ndarray | None:
    """The embedding of a face.

    Args:
        image: RGB, upright, of any size.
        face: which face; the largest one that is found where None.

    Returns:
        [128] float32, or None where no face is found.
    """
    if face is None:
        face = max(detect_faces(image), key=lambda found: found.size_px, default=None)
    if face is None:
        return None
    rectangle, predictor, network = _dlib_models()
    # The network looks at little more than the face; all of a large photograph would only be copied.
    margin = round(face.size_px * _MARGIN)
    left, top = max(0, round(face.box[0]) - margin), max(0, round(face.box[1]) - margin)
    right, bottom = (round(face.box[2]) + margin, round(face.box[3]) + margin)
    around = image.crop((left, top, min(image.width, right), min(image.height, bottom)))
    pixels = np.ascontiguousarray(around.convert("RGB"))
    box = rectangle(*(round(value) for value in face.moved(-left, -top).box))
    with _LOCK:
        return np.asarray(network.compute_face_descriptor(pixels, predictor(pixels, box)), np.float32)


class Likeness:
    """Likeness to the person in some reference photographs, all of the same person.

    The photographs' embeddings are averaged; an image's distance is the Euclidean distance of its embedding
    to that average, and its score is 1 - distance, cut to 0..1. On the
    photographs tried, the same person reached 0.65 and more (0.45 at 128 pixels a side), others 0.2 and less;
    of drawings, only the difference between two models says something.

    Raises:
        BadPhoto: no face is found in any reference.
    """

    def __init__(self, references: Iterable[Image.Image]) -> None:
        found = [embedding for image in references if (embedding := embed_face(image)) is not None]
        if not found:
            raise BadPhoto(
                "No face was found in the reference photographs.", "Choose a data set with clear faces."
            )
        self.embeddings = np.stack(found)
        self.mean = self.embeddings.mean(axis=0)

    def distance(self, image: Image.Image) -> float | None:
        """Distance to the references' mean, 0 to about 1.5; None where no face is found."""
        embedding = embed_face(image)
        return None if embedding is None else float(np.linalg.norm(embedding - self.mean))

    def score(self, image: Image.Image) -> float | None:
        """Likeness from 0 to 1, higher is more alike; None where no face is found."""
        distance = self.distance(image)
        return None if distance is None else min(1.0, max(0.0, 1.0 - distance))


@cache
def _dlib_models() -> tuple[Any, Any, Any]:
    """dlib's rectangle, the 5-point landmark predictor and the network, from face-recognition-models' files.

    That package is located without being imported, as its ``__init__`` needs ``pkg_resources``, which new
    setuptools no longer has.
    """
    dlib: Any = import_module("dlib")
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.origin:
        raise Damaged(
            "The package face-recognition-models isn't installed.", "Install requirements.txt again."
        )
    folder = Path(spec.origin).parent / "models"
    return (
        dlib.rectangle,
        dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat")),
        dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat")),
    )
