"""Likeness of a generated person to the person in the photographs.

dlib's face recognition network (Davis King, 2017,
http://blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html) gives 128 numbers a face; faces of
one person lie less than about 0.6 apart.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dreamgui.data.faces.detect import Face, detect_faces
from dreamgui.data.faces.identity_child import CHIP_PX
from dreamgui.errors import BadPhoto, Damaged

SAME_PERSON_DISTANCE = 0.6
"""Below this distance two photographs show the same person, says the network's author."""
EMBEDDING_BYTES = 128 * 4
_MARGIN = 1.0
_CHIP_PADDING = 0.25
_NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
_CHILD = Path(__file__).with_name("identity_child.py")
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
    return None if face is None else _embed_here(face_chip(image, face))


def face_chip(image: Image.Image, face: Face) -> np.ndarray:
    """A face turned upright and brought to the size that the network looks at: [150, 150, 3] bytes."""
    # The network looks at little more than the face; all of a large photograph would only be copied.
    margin = round(face.size_px * _MARGIN)
    left, top = max(0, round(face.box[0]) - margin), max(0, round(face.box[1]) - margin)
    right, bottom = (round(face.box[2]) + margin, round(face.box[3]) + margin)
    around = image.crop((left, top, min(image.width, right), min(image.height, bottom)))
    pixels = np.ascontiguousarray(around.convert("RGB"))
    with _LOCK:
        dlib, predictor = _dlib(), _predictor()
        box = dlib.rectangle(*(round(value) for value in face.moved(-left, -top).box))
        return dlib.get_face_chip(pixels, predictor(pixels, box), CHIP_PX, _CHIP_PADDING)


def _embed_here(chip: np.ndarray) -> np.ndarray:
    with _LOCK:
        return np.asarray(_network().compute_face_descriptor(chip), np.float32)


class Embedder:
    """:func:`embed_face` for many faces, computed beside this process. It is to be used in a ``with`` block.

    The child process starts with the first face and ends with the block. Safe to call from several threads;
    the embeddings are the same to the last bit.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Embedder:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.communicate()

    def __call__(self, image: Image.Image, face: Face) -> np.ndarray:
        """The embedding [128] float32 of a face in an RGB picture.

        Raises:
            Damaged: the child process can't start, or was ended.
        """
        chip = np.ascontiguousarray(face_chip(image, face)).tobytes()
        with self._lock:
            try:
                answer = self._ask(chip)
            except OSError as error:
                raise _no_answer(str(error)) from error
        if len(answer) != EMBEDDING_BYTES:
            raise _no_answer("it ended early")
        return np.frombuffer(answer, np.float32)

    def _ask(self, chip: bytes) -> bytes:
        if self._child is None:
            # Out of the terminal's group: Ctrl-C is for the parent, which ends the child when it is done.
            self._child = subprocess.Popen(
                [sys.executable, "-P", str(_CHILD), _model_file(_NETWORK)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(chip)
        self._child.stdin.flush()
        return self._child.stdout.read(EMBEDDING_BYTES)


def _no_answer(why: str) -> Damaged:
    return Damaged(
        f"The process that compares faces gave no answer: {why}.",
        "Close other programs if memory is short, and try again.",
    )


class Likeness:
    """Likeness to the person in some reference photographs, all of the same person.

    The photographs' embeddings are averaged; an image's distance is the Euclidean distance of its embedding
    to that average, and its score is 1 - distance, cut to 0..1. On the
    photographs tried, the same person reached 0.65 and more (0.45 at 128 pixels a side), others 0.2 and less;
    of drawings, only the difference between two models says something.

    Args:
        embeddings: [count, 128], one or more.
    """

    def __init__(self, embeddings: np.ndarray) -> None:
        self.embeddings = embeddings
        self.mean = embeddings.mean(axis=0)

    @classmethod
    def of(cls, references: Iterable[Image.Image]) -> Likeness:
        """Likeness to the largest face of each photograph.

        Raises:
            BadPhoto: no face is found in any of them.
        """
        found = [embedding for image in references if (embedding := embed_face(image)) is not None]
        if not found:
            raise BadPhoto(
                "No face was found in the reference photographs.", "Choose a dataset with clear faces."
            )
        return cls(np.stack(found))

    def distance(self, image: Image.Image) -> float | None:
        """Distance to the references' mean, 0 to about 1.5, or None where no face is found."""
        embedding = embed_face(image)
        return None if embedding is None else float(np.linalg.norm(embedding - self.mean))

    def score(self, image: Image.Image) -> float | None:
        """Likeness from 0 to 1, higher is more alike, or None where no face is found."""
        return self.score_of(embed_face(image))

    def score_of(self, embedding: np.ndarray | None) -> float | None:
        """Return the likeness of an embedding [128], from 0 to 1, or None without one."""
        if embedding is None:
            return None
        return min(1.0, max(0.0, 1.0 - float(np.linalg.norm(embedding - self.mean))))


@cache
def _dlib() -> Any:
    return import_module("dlib")


@cache
def _predictor() -> Any:
    """Finds five landmarks, by which a face is turned upright."""
    return _dlib().shape_predictor(_model_file("shape_predictor_5_face_landmarks.dat"))


@cache
def _network() -> Any:
    return _dlib().face_recognition_model_v1(_model_file(_NETWORK))


def _model_file(name: str) -> str:
    """A file of face-recognition-models.

    That package is located without being imported, as its ``__init__`` needs ``pkg_resources``, which new
    setuptools no longer has.
    """
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.origin:
        raise Damaged(
            "The package face-recognition-models isn't installed.", "Install requirements.txt again."
        )
    return str(Path(spec.origin).parent / "models" / name)
