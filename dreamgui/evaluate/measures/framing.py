"""Pose and framing of generated faces, their sharpness, and a sentence where a model knows one view only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from dreamgui.data.faces.detect import Face
from dreamgui.data.faces.identity import face_chip
from dreamgui.data.framing import SHOTS

FRONTAL_DEGREES = 15.0
CLOSE_UP_SHARE = SHOTS["close-up"].least
"""Least face height of a close-up."""
_LEAST_FACES = 5
_NEARLY_ALL = 0.9
# The nose tip lies as far before the middle of the ears as 0.8 of the ears' distance: about 12 of 15 cm.
_NOSE_AHEAD = 0.8


@dataclass(frozen=True)
class View:
    """One generated face.

    Attributes:
        yaw: estimated turn of the head in degrees, -90 to 90; positive looks to the picture's right. None without ears.
        height_share: height of the face's box, brows to chin, over the picture's height, 0 to 1.
        sharpness: variance of the Laplacian of the grey face chip of 150 x 150 pixels, 0 and above.
    """

    yaw: float | None
    height_share: float
    sharpness: float


@dataclass(frozen=True)
class Spread:
    """Views of one model's pictures.

    Attributes:
        pictures: number of pictures.
        views: of those that show a face.
    """

    pictures: int
    views: tuple[View, ...]

    @property
    def yaws(self) -> list[float]:
        """Return the known yaws in degrees."""
        return [view.yaw for view in self.views if view.yaw is not None]

    @property
    def yaw_spread(self) -> float | None:
        """Return the standard deviation of the yaws in degrees, or None with fewer than two."""
        return float(np.std(self.yaws, ddof=1)) if len(self.yaws) > 1 else None

    @property
    def size_spread(self) -> float | None:
        """Return the standard deviation of log2 of the face heights: 1 is twice as large or half, or None below two."""
        sizes = [math.log2(view.height_share) for view in self.views if view.height_share > 0]
        return float(np.std(sizes, ddof=1)) if len(sizes) > 1 else None

    @property
    def sharpness(self) -> float | None:
        """Return the median sharpness, or None without a face."""
        return float(np.median([view.sharpness for view in self.views])) if self.views else None

    @property
    def frontal_share(self) -> float | None:
        """Return the share of the faces within 15 degrees of the front, 0 to 1, or None without a known yaw."""
        return float(np.mean([abs(yaw) <= FRONTAL_DEGREES for yaw in self.yaws])) if self.yaws else None

    @property
    def close_up_share(self) -> float | None:
        """Return the share of the faces that fill 36 % of the height and more, 0 to 1, or None without a face."""
        near = [view.height_share >= CLOSE_UP_SHARE for view in self.views]
        return float(np.mean(near)) if near else None

    def sentence(self, model: str) -> str:
        """Return a sentence where nearly all faces are frontal, close-ups, or both, else "".

        Args:
            model: the model's name.
        """
        if len(self.views) < _LEAST_FACES:
            return ""
        frontal = (self.frontal_share or 0) >= _NEARLY_ALL and len(self.yaws) >= _LEAST_FACES
        near = (self.close_up_share or 0) >= _NEARLY_ALL
        if not frontal and not near:
            return ""
        kind = "frontal close-ups" if frontal and near else "frontal faces" if frontal else "close-ups"
        return (
            f"{model} generates {kind} only, in {len(self.views)} pictures with a face: train on more framings and turns of "
            "the head, or stop earlier."
        )


def view(picture: Image.Image, face: Face) -> View:
    """Return one face's yaw, size and sharpness."""
    height = (face.box[3] - face.box[1]) / picture.height
    return View(yaw(face.landmarks), min(1.0, height), sharpness(face_chip(picture, face)))


def yaw(landmarks: Sequence[tuple[float, float]]) -> float | None:
    """Return the estimated turn of a head, in degrees from -90 to 90. A positive one looks to the picture's right.

    tan(yaw) = offset of the nose tip from the middle of the ears / (0.8 x distance of the ears), along the line through
    the ears. A leaning head doesn't count as turned.

    Args:
        landmarks: mediapipe's right eye, left eye, nose tip, mouth, right ear, left ear; None is returned for fewer.
    """
    if len(landmarks) < 6:
        return None
    nose, right, left = (np.array(landmarks[place]) for place in (2, 4, 5))
    across = left - right
    length = float(np.linalg.norm(across))
    if length < 1e-6:
        return None
    offset = float((nose - (left + right) / 2) @ across) / length
    return math.degrees(math.atan2(offset, _NOSE_AHEAD * length))


def sharpness(chip: np.ndarray) -> float:
    """Return the variance of the Laplacian (Pech-Pacheco et al. 2000, https://doi.org/10.1109/ICPR.2000.903548).

    Args:
        chip: [height, width, 3] uint8, RGB.

    Returns:
        0 and above; higher is sharper, noise counts as sharpness.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(chip), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
