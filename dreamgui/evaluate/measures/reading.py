"""One look at a picture: its largest face is found once, and all measures of faces are taken from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.faces.identity import embed_face
from dreamgui.evaluate.measures.framing import View, view
from dreamgui.evaluate.measures.recogniser import unit
from dreamgui.evaluate.measures.sface import SFace

DLIB, SFACE = "identity", "sface"
"""Names of the two recognisers' figures."""


@dataclass(frozen=True)
class Reading:
    """Facts of a picture's largest face.

    Attributes:
        raw: dlib's embedding [128], for likeness; None without a face.
        vectors: unit vectors by the name of the recogniser's figure; None without a face.
        view: turn, size and sharpness; None without a face.
    """

    raw: np.ndarray | None
    vectors: Mapping[str, np.ndarray | None]
    view: View | None


def read(picture: Image.Image, second: SFace | None = None) -> Reading:
    """Return what is known of a picture's largest face.

    Args:
        picture: RGB, upright, of any size.
        second: the second recogniser, where its file is there.
    """
    face = max(detect_faces(picture), key=lambda found: found.size_px, default=None)
    keys = (DLIB, SFACE) if second else (DLIB,)
    if face is None:
        return Reading(None, dict.fromkeys(keys), None)
    raw = embed_face(picture, face)
    vectors = {DLIB: None if raw is None else unit(raw)}
    if second:
        vectors[SFACE] = second.of_face(picture, face)
    return Reading(raw, vectors, view(picture, face))
