"""The face pass: the largest face of a picture is generated again at the trained size and blended in.

A face of 60 pixels has 7 latents across, too few for a likeness; the same face at the size that the model was trained
with has all of them. It begins with the face that is there, so pose and light stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from dreamgui.data.faces.detect import Face, detect_faces

AROUND = 2.2
"""Side of the square around a face, in widths of the face: hair and chin are in it."""
LARGEST_SHARE = 0.75
"""A face whose square fills this share of the picture's shorter side has all the pixels it needs."""
_FEATHER = 0.12


@dataclass(frozen=True)
class FaceSquare:
    """The square around a face: x0, y0, x1, y1 in pixels of the picture, and the face inside it."""

    box: tuple[int, int, int, int]
    face: Face

    @property
    def side(self) -> int:
        """Its width and height in pixels."""
        return self.box[2] - self.box[0]

    def cut(self, image: Image.Image, size_px: int) -> Image.Image:
        """Return this part of a picture at the given size."""
        return image.crop(self.box).resize((size_px, size_px), Image.Resampling.LANCZOS)

    def blended(self, image: Image.Image, generated: Image.Image) -> Image.Image:
        """Return the picture with the generated square in this place, by a soft mask around the face."""
        small = generated.resize((self.side, self.side), Image.Resampling.LANCZOS)
        result = image.copy()
        result.paste(small, self.box[:2], self._mask())
        return result

    def _mask(self) -> Image.Image:
        """An ellipse around the face that fades out, and is empty at the square's edge: [side, side] of 0 to 255."""
        grid_y, grid_x = np.mgrid[0 : self.side, 0 : self.side].astype(np.float32)
        centre_x, centre_y = self.face.center
        x = (grid_x - (centre_x - self.box[0])) / (0.42 * self.side)
        y = (grid_y - (centre_y - self.box[1])) / (0.46 * self.side)
        inside = np.where(x * x + y * y <= 1 - 2 * _FEATHER, 255, 0).astype(np.uint8)
        mask = Image.fromarray(inside).filter(ImageFilter.GaussianBlur(_FEATHER * self.side / 2))
        edge = np.minimum.reduce([grid_x, grid_y, self.side - 1 - grid_x, self.side - 1 - grid_y])
        fade = np.clip(edge / max(1.0, _FEATHER * self.side / 2), 0, 1)
        return Image.fromarray((np.asarray(mask) * fade).round().astype(np.uint8))


def face_square(image: Image.Image) -> FaceSquare | None:
    """Return the square around a picture's largest face, or None where there is no face, or where it is large already."""
    face = max(detect_faces(image), key=lambda found: found.size_px, default=None)
    if face is None:
        return None
    side = round(min(AROUND * face.size_px, *image.size))
    if side > LARGEST_SHARE * min(image.size):
        return None
    centre_x, centre_y = face.center
    left = round(min(max(0.0, centre_x - side / 2), image.width - side))
    top = round(min(max(0.0, centre_y - side / 2), image.height - side))
    return FaceSquare((left, top, left + side, top + side), face)
