"""Quality of a crop for training, in numbers: sharpness, exposure, size and turn of the face.

Sharpness: variance of the Laplacian (Pech-Pacheco et al. 2000, https://doi.org/10.1109/ICPR.2000.903548),
here at a normalised size and divided by the picture's own variance, so that light doesn't count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from dreamgui.data.faces.detect import Box

Turn = Literal["left", "front", "right"]
Light = Literal["dark", "even", "bright"]
TURNS: tuple[Turn, ...] = ("left", "front", "right")
LIGHTS: tuple[Light, ...] = ("dark", "even", "bright")
LEAST_SHARPNESS = 0.02
LEAST_FACE_PX = 64
_DARK, _BRIGHT = 0.25, 0.75
_BURNT_OUT = 0.25
_TURNED = 0.28
_FACE_VIEW_PX = 96
_CROP_VIEW_PX = 256


class Quality(BaseModel):
    """A crop's figures.

    All of them are of the whole crop, and ``face_px`` is 0, where it shows no face. ``sharpness`` 0..1 and above, blurred below 0.02; ``exposure`` is the face's mean brightness 0..1,
    ``clipped`` the share of its pixels that are black or white; ``face_px`` the face's longer side in pixels
    of the photograph; ``turn`` is where the nose points as seen in the picture; ``near_duplicate`` names the crop of
    which this is nearly a copy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sharpness: float
    exposure: float
    clipped: float
    face_px: float
    turn: Turn
    light: Light
    # "twin" is its name in datasets of earlier versions.
    near_duplicate: str = Field("", validation_alias=AliasChoices("near_duplicate", "twin"))

    @property
    def shows_face(self) -> bool:
        """Return whether a face was found."""
        return self.face_px > 0

    @property
    def is_blurred(self) -> bool:
        """Return whether the face, or a crop without one, lacks detail."""
        return self.sharpness < LEAST_SHARPNESS

    @property
    def is_spoilt_by_light(self) -> bool:
        """Return whether much of a dark or bright face is black or white."""
        return self.shows_face and self.light != "even" and self.clipped > _BURNT_OUT

    @property
    def is_small(self) -> bool:
        """Return whether the photograph had few pixels of the face."""
        return self.shows_face and self.face_px < LEAST_FACE_PX

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what speaks against the crop, in a few words each."""
        found = [] if self.shows_face else ["no face was found"]
        if self.is_blurred:
            found.append("blurred")
        if self.shows_face and self.light != "even":
            found.append(f"the face is {'too ' * self.is_spoilt_by_light}{self.light}")
        if self.is_small:
            found.append(f"a face of only {self.face_px:.0f} pixels")
        if self.near_duplicate:
            found.append(f"nearly the same as {self.near_duplicate}")
        return tuple(found)


def measure(
    crop: Image.Image, face_in_crop: Box, landmarks: Sequence[tuple[float, float]], face_px: float
) -> Quality:
    """The figures of one crop.

    Args:
        crop: the finished square, RGB.
        face_in_crop: the face's box as fractions 0..1 of the side.
        landmarks: the face detector's six points, in any units; none counts as front.
        face_px: the face's longer side in pixels of the photograph.
    """
    face = _grey(crop, face_in_crop)
    exposure = float(face.mean())
    clipped = float(((face < 0.02) | (face > 0.98)).mean())
    light: Light = "dark" if exposure < _DARK else "bright" if exposure > _BRIGHT else "even"
    return Quality(
        sharpness=round(sharpness(face), 4),
        exposure=round(exposure, 3),
        clipped=round(clipped, 3),
        face_px=round(face_px, 1),
        turn=turn_of(landmarks),
        light=light,
    )


def _grey(crop: Image.Image, face: Box) -> np.ndarray:
    """The face's pixels as [height, width] float32 0..1, at most 96 a side, or of all of the crop where it shows no
    face."""
    side = crop.width
    box = (face[0] * side, face[1] * side, face[2] * side, face[3] * side)
    longer, shorter = max(box[2] - box[0], box[3] - box[1]), min(box[2] - box[0], box[3] - box[1])
    limit = _FACE_VIEW_PX
    if shorter < 4:
        box, longer, limit = (0.0, 0.0, float(side), float(side)), float(side), _CROP_VIEW_PX
    scale = min(1.0, limit / longer)
    size = (max(3, round((box[2] - box[0]) * scale)), max(3, round((box[3] - box[1]) * scale)))
    view = crop.convert("L").resize(size, Image.Resampling.BILINEAR, box=box)
    return np.asarray(view, np.float32) / 255


def sharpness(grey: np.ndarray) -> float:
    """Variance of the Laplacian over the variance of the picture, 0 for one without any contrast.

    Args:
        grey: [height, width] from 0 to 1, at least 3 a side.
    """
    middle = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    contrast = float(grey.var())
    return float(laplacian.var()) / contrast if contrast > 1e-5 else 0.0


def turn_of(landmarks: Sequence[tuple[float, float]]) -> Turn:
    """Return where a face looks, as seen in the picture, from the nose's place between the eyes.

    Args:
        landmarks: right eye, left eye, nose tip... of the person, as :class:`dreamgui.data.faces.detect.Face` has
            them; a head that leans doesn't count as turned.
    """
    if len(landmarks) < 3:
        return "front"
    right_eye, left_eye, nose = (np.array(point) for point in landmarks[:3])
    across = left_eye - right_eye
    length = float(np.linalg.norm(across))
    if length < 1e-6:
        return "front"
    away = float((nose - (left_eye + right_eye) / 2) @ across) / length**2
    if abs(away) < _TURNED:
        return "front"
    return "left" if away < 0 else "right"
