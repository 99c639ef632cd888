"""The plane of checkpoints as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from dreamgui.evaluate.document.charts import WIDTH, line, svg, text
from dreamgui.evaluate.plane import Point
from dreamgui.evaluate.statistics import mean_interval

_LETTER_PX = 7.0
"""Width of a letter of the small text; most are narrower."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 40, 16, 330
_LOW, _HIGH, _UNKNOWN = (0, 114, 178), (213, 94, 0), "#8a8f98"
"""Colours of the least and the most memorising, of Okabe and Ito's palette."""


def plane_chart(points: Sequence[Point], front: Sequence[Point], label: str, negated: bool) -> str:
    """Return the plane: identity to the right, quality up, memorising as colour, the front joined.

    Args:
        points: all with a place.
        front: those to join, from left to right.
        label: of the upright axis.
        negated: whether quality is a negative; the axis then shows the positive number.
    """
    places = [point.place or (0.0, 0.0) for point in points]
    xs, ys = _reach([x for x, _ in places]), _reach([y for _, y in places])

    def at(point: Point) -> tuple[float, float]:
        x, y = point.place or (0.0, 0.0)
        right = (x - xs[0]) / (xs[1] - xs[0]) * (WIDTH - _LEFT - _RIGHT)
        return _LEFT + right, _BOTTOM - (y - ys[0]) / (ys[1] - ys[0]) * (_BOTTOM - _TOP)

    parts = _axes(xs, ys, negated)
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, front))
    parts.append(f'<polyline points="{joined}" fill="none" stroke="{_UNKNOWN}" stroke-width="1.5"/>')
    for point, colour in zip(points, _colours(points), strict=True):
        x, y = at(point)
        title = f"<title>{escape(point.name)}</title>"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}">{title}</circle>')
    # Points of the front get their names first.
    ordered = [*front, *(point for point in points if point not in front)]
    parts += _names([(point.name[:28], at(point)) for point in ordered])
    parts.append(
        text(_LEFT, _BOTTOM + 40, f"right: identity similarity, higher is better; up: {label}", soft=True)
    )
    key = "colour: memorising, from least (blue) to most (orange); line: Pareto front"
    parts.append(text(_LEFT, _BOTTOM + 60, key, soft=True))
    return svg(_BOTTOM + 72, parts)


def _names(places: Sequence[tuple[str, tuple[float, float]]]) -> list[str]:
    """Names beside their points, each where it hides no other. A name without room is left to the point's title."""
    taken = [(x - 7, y - 7, x + 7, y + 7) for _, (x, y) in places]
    parts = []
    for name, (x, y) in places:
        width = _LETTER_PX * len(name)
        for right, up in (
            (10, -4),
            (-10 - width, -4),
            (10, 14),
            (-10 - width, 14),
            (-width / 2, -12),
            (-width / 2, 22),
        ):
            left, foot = x + right, y + up
            box = (left, foot - 11, left + width, foot + 2)
            inside = box[0] >= 0 and box[2] <= WIDTH and box[1] >= 0 and box[3] <= _BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                parts.append(text(left, foot, name, soft=True))
                break
    return parts


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _axes(xs: tuple[float, float], ys: tuple[float, float], negated: bool) -> list[str]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        x = _LEFT + share * (WIDTH - _LEFT - _RIGHT)
        y = _BOTTOM - share * (_BOTTOM - _TOP)
        across, up = xs[0] + share * (xs[1] - xs[0]), ys[0] + share * (ys[1] - ys[0])
        parts += [line(x, _TOP, x, _BOTTOM), line(_LEFT, y, WIDTH - _RIGHT, y)]
        parts.append(text(x, _BOTTOM + 18, f"{across:.2f}", "middle", soft=True))
        parts.append(text(_LEFT - 8, y + 4, f"{-up if negated else up:.2f}", "end", soft=True))
    return parts


def _reach(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis, with room around the values."""
    low, high = min(values), max(values)
    room = 0.1 * (high - low) or 0.05
    return low - room, high + room


def _colours(points: Sequence[Point]) -> list[str]:
    found = [mean_interval(point.memorising) if point.memorising else None for point in points]
    known = [each.mean for each in found if each]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    return [_UNKNOWN if each is None else _mixed((each.mean - low) / span if span else 0.0) for each in found]


def _mixed(share: float) -> str:
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(_LOW, _HIGH, strict=True))
