"""Masks painted on a picture by hand: strokes as numbers, drawn as black and white."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

from dreamgui.errors import BadInput

MOST_STROKES, MOST_POINTS = 2000, 50_000
_WIDTHS = (0.001, 1.0)


@dataclass(frozen=True)
class Stroke:
    """A line of a round brush.

    Attributes:
        points: x and y as shares of the picture's width and height.
        width: of the brush, as a share of the picture's width.
        erases: whether it takes the mask away.
    """

    points: Sequence[tuple[float, float]]
    width: float
    erases: bool = False


def painted_mask(strokes: Sequence[Stroke], size: tuple[int, int], inverted: bool = False) -> Image.Image:
    """Return strokes as a mask in black and white, mode "L". White is painted.

    Args:
        strokes: in their order; later ones lie over earlier ones.
        size: width and height of the mask in pixels.
        inverted: whether white and black are exchanged.
    """
    ground = 255 if inverted else 0
    mask = Image.new("L", size, ground)
    canvas = ImageDraw.Draw(mask)
    for stroke in strokes:
        _draw(canvas, stroke, size, ground if stroke.erases else 255 - ground)
    return mask


def _draw(canvas: ImageDraw.ImageDraw, stroke: Stroke, size: tuple[int, int], level: int) -> None:
    places = [(x * size[0], y * size[1]) for x, y in stroke.points]
    width_px = max(1.0, stroke.width * size[0])
    canvas.line(places, level, round(width_px))
    for x, y in places:
        canvas.ellipse((x - width_px / 2, y - width_px / 2, x + width_px / 2, y + width_px / 2), level)


def strokes_of(given: Any) -> list[Stroke]:
    """Return strokes from what a browser sent: a list of {"points": [[x, y], ...], "width": w, "erase": bool}.

    Raises:
        BadInput: it is anything else, or too much.
    """
    if not isinstance(given, list) or len(given) > MOST_STROKES:
        raise _wrong()
    strokes = [_stroke(each) for each in given]
    if sum(len(each.points) for each in strokes) > MOST_POINTS:
        raise _wrong()
    return strokes


def _stroke(given: Any) -> Stroke:
    if not isinstance(given, Mapping) or not isinstance(given.get("points"), list) or not given["points"]:
        raise _wrong()
    width = _number(given.get("width"), *_WIDTHS)
    return Stroke(list(_points(given["points"])), width, given.get("erase") is True)


def _points(given: Sequence[Any]) -> Iterator[tuple[float, float]]:
    for point in given:
        if not isinstance(point, list) or len(point) != 2:
            raise _wrong()
        yield _number(point[0], -1, 2), _number(point[1], -1, 2)


def _number(given: Any, least: float, most: float) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise _wrong()
    return min(max(float(given), least), most)


def _wrong() -> BadInput:
    return BadInput("The painted mask isn't a list of strokes.", "Undo the strokes and paint the mask again.")
