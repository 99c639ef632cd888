"""Photographs that lie on their side or stand on their head, because a program threw their turn mark away.

The line through the eyes tells the roll; only quarter turns are made, which cost no pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from dreamgui.data.faces.detect import Face, detect_faces
from dreamgui.data.framing import choose_subject
from dreamgui.data.photos.jpeg import without_metadata
from dreamgui.data.photos.load import UPRIGHT, load_image, photo_bytes, read_header

QUARTER_TURNS = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
"""Degrees clockwise to Pillow's name, which counts the other way."""
# Faces that lie on their side are measured as leaning by 39 degrees and more.
LEANING_DEGREES = 30.0
"""A face that leans by more is looked at after a quarter turn, and is told where it stays."""
_LYING_DEGREES = 45.0
_CONVINCING = 0.75


class Turned(NamedTuple):
    """A turn in degrees clockwise, and what is seen after it."""

    degrees: int
    image: Image.Image
    faces: list[Face]


def turn_upright(
    image: Image.Image, faces: Sequence[Face], min_confidence: float, least_px: float
) -> Turned | None:
    """The quarter turn that brings a photograph's subject upright, or None where there is no such turn.

    Nothing is looked at again while the subject leans by 30 degrees at most. A photograph without faces is
    looked at from all sides.

    Args:
        image: the photograph, or a smaller view of it.
        faces: found in ``image``.
        min_confidence: least score of a face, 0.1..1; after a turn 0.75 are asked for where it is less, as
            turned things look like a face more easily than like one of these.
        least_px: smaller faces need not be found.
    """
    before = choose_subject(faces, image.size).roll if faces else 180.0
    if abs(before) <= LEANING_DEGREES:
        return None
    opposite = 180 if abs(before) > 135 else 270 if before > 0 else 90
    wanted = (opposite,) if faces else tuple(QUARTER_TURNS)
    ways: list[tuple[float, Turned]] = []
    for degrees in wanted:
        view = image.transpose(QUARTER_TURNS[degrees])
        if seen := detect_faces(view, max(min_confidence, _CONVINCING), least_px):
            ways.append((abs(choose_subject(seen, view.size).roll), Turned(degrees, view, seen)))
    roll, best = min(ways, key=lambda way: way[0], default=(180.0, None))
    return best if roll < min(abs(before), _LYING_DEGREES) else None


def turn_file(path: Path, degrees: int) -> None:
    """Turn a kept photograph clockwise: a JPEG by its orientation mark alone, another one pixel by pixel."""
    turn = QUARTER_TURNS[degrees]
    header = read_header(path)
    if header.kind == "JPEG":
        path.write_bytes(without_metadata(path.read_bytes(), turned_orientation(header.orientation, turn)))
    else:
        path.write_bytes(photo_bytes(load_image(path).transpose(turn), lossless=True))


def turned_orientation(orientation: int, turn: Image.Transpose) -> int:
    """EXIF's orientation (1..8) of a photograph that is shown with this turn after its present one."""
    sample = Image.frombytes("L", (3, 2), bytes(range(6)))
    wanted = _shown(sample, orientation).transpose(turn)
    return next(number for number in range(1, 9) if _shown(sample, number) == wanted)


def _shown(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image
