"""Which square of a photograph becomes a crop: close-up, medium shot or full figure.

A framing is told by the face's share of the crop's side (the detector's box, brows to chin). Each framing
aims at one share and may leave it as far as the photograph's size and resolution make necessary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite, log
from typing import get_args

from dreamgui.config import Framing
from dreamgui.data.faces import Box, Face
from dreamgui.errors import BadPhoto, OutOfRange

FRAMINGS: tuple[Framing, ...] = get_args(Framing)
LEAST_CROPS = 15
"""With fewer crops, a photograph gives more than one, and the user is warned."""
_DIFFERENT_SIDES = 1.3


@dataclass(frozen=True)
class Shot:
    """What a framing means: the face's share of the side that it aims at, accepts at least and at most, and
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
    """A face's box as fractions 0..1 of the side of a square; parts outside it are cut off."""
    x0, y0, x1, _ = square
    starts = (x0, y0, x0, y0)
    left, top, right, bottom = (
        min(1.0, max(0.0, (value - start) / (x1 - x0))) for value, start in zip(face, starts, strict=True)
    )
    return left, top, right, bottom


@dataclass(frozen=True)
class Placement:
    """A square inside a photograph. ``box`` is x0, y0, x1, y1 in its pixels; ``moved_px`` how far the square
    was moved to stay inside; ``shrunk`` whether the photograph was too small for the framing's own side;
    ``enlargement`` how much larger than in the photograph things are in the crop; ``remark`` what else was
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
        """How far the face's share is from the aim: 0 is on it, 0.7 is twice or half of it."""
        return abs(log(self.face_share / SHOTS[self.framing].aim))

    @property
    def adjustment(self) -> str:
        """What was done so that the square lies inside the photograph; empty where nothing was."""
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
    wish = (round(middle_x - side / 2), round(middle_y - side * shot.face_y))
    x, y = (min(max(0, at), length - side) for at, length in zip(wish, photo_size, strict=True))
    moved_px = max(abs(x - wish[0]), abs(y - wish[1]))
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
    wish = (round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2))
    x, y = (min(max(0, at), length - side) for at, length in zip(wish, photo_size, strict=True))
    if not (x <= face_x <= x + side and y <= face_y <= y + side):
        remarks.append("the face that was found lies outside")
    share = max(face[2] - face[0], face[3] - face[1]) / side
    framing = min(FRAMINGS, key=lambda name: abs(log(max(share, 1e-6) / SHOTS[name].aim)))
    moved_px = max(abs(x - wish[0]), abs(y - wish[1]))
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
    """All framings that the photograph allows; those that show nobody else, where there are such.

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
    """How much a photograph is about a face: its square's share, up to twice in the middle."""
    away_x, away_y = (abs(at / length - 0.5) for at, length in zip(face.center, photo_size, strict=True))
    return face.size_px**2 / (photo_size[0] * photo_size[1]) * (2 - 2 * max(away_x, away_y))


def plan(
    options: Sequence[Sequence[Placement]], shares: Mapping[Framing, float]
) -> list[tuple[int, Placement]]:
    """Which photograph gives which crops, so that the whole comes close to the wanted mix.

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


def missing(chosen: Sequence[Placement], shares: Mapping[Framing, float]) -> dict[Framing, int]:
    """How many crops of a framing are clearly missing for the wanted mix: two or more, a third of them."""
    short: dict[Framing, int] = {}
    for framing in FRAMINGS:
        wanted = shares[framing] * len(chosen)
        lack = round(wanted) - sum(placement.framing == framing for placement in chosen)
        if lack >= 2 and lack >= wanted / 3:
            short[framing] = lack
    return short
