"""Square of a photograph that becomes a crop: close-up, medium shot or full figure.

A framing is told by the face's share of the crop's side (the detector's box, brows to chin). Each framing
aims at one share and may leave it as far as the photograph's size and resolution make necessary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite, log
from typing import get_args

from dreamgui.config import Framing
from dreamgui.data.faces.detect import Box, Face
from dreamgui.errors import BadPhoto, OutOfRange

FRAMINGS: tuple[Framing, ...] = get_args(Framing)
LEAST_CROPS = 15
"""With fewer crops, a photograph gives more than one, and the user is warned."""
_DIFFERENT_SIDES = 1.3
_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class Shot:
    """Meaning of a framing: the face's share of the side that it aims at, accepts at least and at most, and
    how far down the middle of the face lies."""

    aim: float
    least: float
    most: float
    face_y: float


SHOTS: dict[Framing, Shot] = {
    "close-up": Shot(aim=0.50, least=0.36, most=0.90, face_y=0.52),
    "medium": Shot(aim=0.25, least=0.18, most=0.36, face_y=0.33),
    "full": Shot(aim=0.11, least=0.07, most=0.18, face_y=0.17),
}


def inside(square: Sequence[float], face: Box) -> Box:
    """A face's box as fractions 0..1 of the side of a square. Parts outside it are cut off."""
    x0, y0, x1, _ = square
    starts = (x0, y0, x0, y0)
    left, top, right, bottom = (
        min(1.0, max(0.0, (value - start) / (x1 - x0))) for value, start in zip(face, starts, strict=True)
    )
    return left, top, right, bottom


def _misfit(face_share: float, framing: Framing) -> float:
    return abs(log(max(face_share, _LEAST_SHARE) / SHOTS[framing].aim))


@dataclass(frozen=True)
class Placement:
    """A square inside a photograph. ``box`` is x0, y0, x1, y1 in its pixels. ``moved_px`` is how far the square
    was moved to stay inside. ``shrunk`` is whether the photograph was too small for the framing's own side.
    ``enlargement`` is how much larger than in the photograph things are in the crop. ``remark`` is what else was
    done to a box that the user drew."""

    framing: Framing
    box: tuple[int, int, int, int]
    face_share: float
    enlargement: float
    moved_px: int
    shrunk: bool
    remark: str = ""

    @property
    def side_px(self) -> int:
        """Side of the square in pixels of the photograph."""
        return self.box[2] - self.box[0]

    @property
    def misfit(self) -> float:
        """Return how far the face's share is from the aim: 0 is on it, 0.7 is twice or half of it. Of a
        square without a face it is about 10."""
        return _misfit(self.face_share, self.framing)

    @property
    def adjustment(self) -> str:
        """Return what was done so that the square lies inside the photograph, or "" where nothing was."""
        done = ["made smaller"] if self.shrunk else []
        if self.moved_px > self.side_px * 0.05:
            done.append(f"moved by {self.moved_px} pixels")
        inside = " and ".join(done) + " to stay inside the photograph" if done else ""
        return "; ".join(part for part in (self.remark, inside) if part)


def place(
    framing: Framing, face: Box, photo_size: tuple[int, int], size_px: int, max_enlargement: float
) -> Placement:
    """The square of this framing around a face, inside the photograph.

    It is made wide enough for the resolution, no wider than the photograph, and moved inside.

    Args:
        framing: what is wanted.
        face: the face's box in pixels of the photograph.
        photo_size: its width and height in pixels.
        size_px: side of the finished crop.
        max_enlargement: how much the square may be enlarged at most.

    Raises:
        BadPhoto: the photograph doesn't allow this framing; the message says what is missing.
    """
    shot = SHOTS[framing]
    face_px = max(face[2] - face[0], face[3] - face[1])
    if not face_px:
        raise BadPhoto("no face was found in it, so a framing can't be made")
    widest, sharpest = min(photo_size), _sharpest(photo_size, size_px, max_enlargement)
    wanted = round(face_px / shot.aim)
    side = min(max(wanted, sharpest), widest)
    if face_px / side > shot.most:
        raise BadPhoto(f"the photograph shows too little around the face for the framing {framing!r}")
    if face_px / side < shot.least:
        raise BadPhoto(
            f"a face of {face_px:.0f} pixels is too small for the framing {framing!r}: the crop would be "
            f"enlarged {size_px * shot.least / face_px:.1f} times, the limit is {max_enlargement:g}"
        )
    middle_x, middle_y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    corner = (round(middle_x - side / 2), round(middle_y - side * shot.face_y))
    x, y = (min(max(0, at), length - side) for at, length in zip(corner, photo_size, strict=True))
    moved_px = max(abs(x - corner[0]), abs(y - corner[1]))
    return Placement(
        framing, (x, y, x + side, y + side), face_px / side, size_px / side, moved_px, side < wanted
    )


def fit(
    box: Sequence[float], face: Box, photo_size: tuple[int, int], size_px: int, max_enlargement: float
) -> Placement:
    """The square nearest to a box that a user drew: its middle and longer side, inside the photograph.

    Args:
        box: x0, y0, x1, y1 in pixels of the photograph, in any order, also partly outside.
        face: the subject's box, which tells the framing.
        photo_size: width and height of the photograph in pixels.
        size_px: side of the finished crop.
        max_enlargement: how much the square may be enlarged at most.

    Raises:
        BadPhoto: the photograph is smaller than the least square.
        OutOfRange: a number isn't finite.
    """
    if len(box) != 4 or not all(isfinite(value) for value in box):
        raise OutOfRange(f"{tuple(box)} is no box.", "Give left, top, right and bottom in pixels.")
    widest, sharpest = min(photo_size), _sharpest(photo_size, size_px, max_enlargement)
    x0, x1 = sorted((box[0], box[2]))
    y0, y1 = sorted((box[1], box[3]))
    drawn = round(max(x1 - x0, y1 - y0))
    side = min(max(drawn, sharpest), widest)
    remarks = ["made square"] if abs((x1 - x0) - (y1 - y0)) > 1.5 else []
    if side > drawn:
        remarks.append(f"made larger, as it would be enlarged more than {max_enlargement:g} times")
    face_x, face_y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    wanted = (round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2))
    x, y = (min(max(0, at), length - side) for at, length in zip(wanted, photo_size, strict=True))
    share = max(face[2] - face[0], face[3] - face[1]) / side
    if share and not (x <= face_x <= x + side and y <= face_y <= y + side):
        remarks.append("the face that was found lies outside")
    framing = min(FRAMINGS, key=lambda name: _misfit(share, name))
    moved_px = max(abs(x - wanted[0]), abs(y - wanted[1]))
    return Placement(
        framing, (x, y, x + side, y + side), share, size_px / side, moved_px, side < drawn, ", ".join(remarks)
    )


def _sharpest(photo_size: tuple[int, int], size_px: int, max_enlargement: float) -> int:
    """The least side of a square.

    Raises:
        BadPhoto: the photograph is smaller.
    """
    sharpest = ceil(size_px / max_enlargement)
    if min(photo_size) < sharpest:
        raise BadPhoto(
            f"the photograph has {photo_size[0]} x {photo_size[1]} pixels; a crop of {size_px} pixels needs "
            f"{sharpest} a side"
        )
    return sharpest


def least_face_px(size_px: int, max_enlargement: float) -> float:
    """Faces smaller than this allow no framing."""
    return ceil(size_px / max_enlargement) * min(shot.least for shot in SHOTS.values())


def placements(
    face: Box, others: Sequence[Box], photo_size: tuple[int, int], size_px: int, max_enlargement: float
) -> list[Placement]:
    """All framings that the photograph allows, or only those that show nobody else, where there are such.

    Raises:
        BadPhoto: it allows none.
    """
    allowed: list[Placement] = []
    reasons: list[str] = []
    for framing in FRAMINGS:
        try:
            allowed.append(place(framing, face, photo_size, size_px, max_enlargement))
        except BadPhoto as reason:
            reasons.append(reason.what)
    if not allowed:
        # The last reason is that of the framing with the smallest face, the easiest one for a small face.
        raise BadPhoto(reasons[-1])
    alone = [placement for placement in allowed if not any(_shows(placement.box, other) for other in others)]
    return alone or allowed


def _shows(box: tuple[int, int, int, int], face: Box) -> bool:
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def choose_subject(faces: Sequence[Face], photo_size: tuple[int, int]) -> Face:
    """The face that the photograph is about: the largest, where a face in the middle counts up to twice."""

    return max(faces, key=lambda face: prominence(face, photo_size))


def prominence(face: Face, photo_size: tuple[int, int]) -> float:
    """Return how much a photograph is about a face: its square's share, up to twice in the middle."""
    away_x, away_y = (abs(at / length - 0.5) for at, length in zip(face.center, photo_size, strict=True))
    return face.size_px**2 / (photo_size[0] * photo_size[1]) * (2 - 2 * max(away_x, away_y))


def choose_framings(
    options: Sequence[Sequence[Placement]], shares: Mapping[Framing, float]
) -> list[tuple[int, Placement]]:
    """Return which photograph gives which crops, so that the whole comes close to the wanted mix.

    Every photograph gives one crop; the ones with the least choice come first, each takes what is missing
    most. With fewer than 15, photographs give further crops of clearly different framing.

    Args:
        options: each photograph's placements, at least one.
        shares: wanted share of each framing; they add up to 1.

    Returns:
        (index of the photograph, placement), by photograph and then from close to wide.
    """
    total = max(len(options), LEAST_CROPS)
    chosen: list[tuple[int, Placement]] = []

    def gain(candidate: tuple[int, Placement]) -> float:
        framing = candidate[1].framing
        have = sum(placement.framing == framing for _, placement in chosen)
        return shares[framing] * total - have - candidate[1].misfit

    for index in sorted(range(len(options)), key=lambda index: len(options[index])):
        chosen.append(max(((index, placement) for placement in options[index]), key=gain))
    while len(chosen) < total:
        further = [(i, p) for i, row in enumerate(options) for p in row if _is_new(i, p, chosen)]
        if not further:
            break
        chosen.append(max(further, key=gain))
    return sorted(chosen, key=lambda item: (item[0], item[1].side_px))


def _is_new(index: int, placement: Placement, chosen: Sequence[tuple[int, Placement]]) -> bool:
    sides = [other.side_px for taken, other in chosen if taken == index]
    return all(
        max(side, placement.side_px) > _DIFFERENT_SIDES * min(side, placement.side_px) for side in sides
    )
