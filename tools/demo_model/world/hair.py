"""Hair: for each style what lies behind the head and what lies over the face, with strands and shine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import Canvas, oval, smooth
from .head import Head
from .palette import Colour, mix, shade

Points = list[tuple[float, float]]
_LONG = {"long": 2.25, "wavy": 2.05, "bob": 1.08, "fringe": 1.0, "mane": 1.5}


def _mirrored(half: Points) -> Points:
    """The half outline (picture's right side, top to bottom) and its mirror image, closed."""
    return [*half, *[(-x, y) for x, y in reversed(half)]]


def _dome(wide: float, volume: float, low: float) -> Points:
    """Right half of the hair's outer line from the crown down to the given height."""
    half = [
        (0.0, -1.0 - volume),
        (wide * 0.36, -0.975 - volume),
        (wide * 0.72 + volume * 0.3, -0.82 - volume * 0.7),
        (wide + volume * 0.85, -0.46),
        (wide + volume, -0.1),
    ]
    return [*half, (wide + volume * 0.9, low)] if low > 0 else half


def _front_line(style: str, wide: float) -> Points:
    """The hairline from the picture's right temple to the left one, over the forehead."""
    side = wide * 0.99
    lines: dict[str, Points] = {
        "fringe": [(side, 0.2), (side * 0.93, -0.2), (wide * 0.5, -0.24), (0.0, -0.26), (-wide * 0.5,
            -0.24), (-side * 0.93, -0.2), (-side, 0.2)],
        "middle": [(side, 0.12), (side * 0.93, -0.3), (wide * 0.5, -0.62), (0.02, -0.84), (-wide * 0.5,
            -0.62), (-side * 0.93, -0.3), (-side, 0.12)],
        "swept": [(side, 0.1), (side * 0.95, -0.26), (wide * 0.66, -0.55), (wide * 0.42, -0.78),
            (-wide * 0.1, -0.55), (-wide * 0.62, -0.36), (-side * 0.95, -0.16), (-side, 0.12)],
        "back": [(side, 0.06), (side * 0.95, -0.35), (wide * 0.6, -0.68), (0.0, -0.76), (-wide * 0.6,
            -0.68), (-side * 0.95, -0.35), (-side, 0.06)],
        "short": [(side, 0.1), (side * 0.9, -0.14), (side * 0.86, -0.42), (wide * 0.5, -0.58), (0.0,
            -0.56), (-wide * 0.5, -0.58), (-side * 0.86, -0.42), (-side * 0.9, -0.14), (-side, 0.1)],
    }  # fmt: skip
    return lines[style]


_HAIRLINE = {
    "long": "middle", "wavy": "swept", "bob": "swept", "fringe": "fringe", "bun": "back", "ponytail": "back",
    "curly": "middle", "afro": "back", "pixie": "swept", "braids": "middle", "short": "short",
        "parted": "swept",
    "quiff": "short", "buzz": "short", "curls": "short", "mane": "middle",
}  # fmt: skip
_VOLUME = {"long": 0.13, "wavy": 0.17, "bob": 0.17, "fringe": 0.16, "bun": 0.07, "ponytail": 0.08,
    "curly": 0.2, "afro": 0.3,
           "pixie": 0.12, "braids": 0.09, "short": 0.07, "parted": 0.11, "quiff": 0.09, "buzz": 0.025,
               "curls": 0.1,
           "mane": 0.12}  # fmt: skip


def _cap(head: Head, style: str) -> np.ndarray:
    """Outline of the hair over the skull: outer dome, then back along the hairline."""
    wide = head.who.face_width
    outer = _dome(wide, _VOLUME[style], 0.12)
    right, left = outer[1:], [(-x, y) for x, y in outer[:0:-1]]
    line = np.array(_front_line(_HAIRLINE[style], wide))
    dome = smooth([*left, outer[0], *right], closed=False, steps=5)
    back = smooth(line, closed=False, steps=5)
    return np.concatenate([head.rim(dome), head.place(_hairline_turn(head, back))])


def _hairline_turn(head: Head, points: np.ndarray) -> np.ndarray:
    depth = head.depth(points)
    return points + np.stack([depth * np.sin(head.scene.yaw), depth * head.scene.nod], axis=1)


def _comb(layer: Canvas, head: Head, style: str, colour: Colour, low: float) -> None:
    """Broad strands from the parting outwards and down, darker and lighter."""
    wide, volume = head.who.face_width, _VOLUME[style]
    part = 0.36 * wide if _HAIRLINE[style] == "swept" else 0.0
    for x, tone in (
        (0.42, 0.8),
        (0.68, 1.2),
        (0.9, 0.82),
        (-0.42, 0.8),
        (-0.68, 1.2),
        (-0.9, 0.82),
        (0.2, 1.14),
        (-0.2, 1.14),
    ):
        reach = x * (wide + volume)
        line = [(part + x * 0.1, -1.0 - volume), (part * 0.4 + reach * 0.72, -0.78), (reach, -0.3)]
        if low > 0.3:
            line += [(reach * 1.04, 0.3), (reach * 1.02, low)]
        curve = head.rim(smooth(line, closed=False, steps=5), depth=0.2)
        tint = shade(colour, tone) if tone < 1 else mix(colour, (255, 244, 226), (tone - 1) * 1.1)
        layer.stroke(curve, 0.055 * head.unit_px, tint)


def _paint(canvas: Canvas, head: Head, outline: np.ndarray, colour: Colour, style: str, low: float) -> None:
    with canvas.inside(outline, colour) as layer:
        layer.wash([[mix(colour, (255, 240, 220), 0.14)] * 2, [colour] * 2, [shade(colour, 0.78)] * 2])
        _comb(layer, head, style, colour, low)


def paint_back_hair(canvas: Canvas, head: Head) -> None:
    """Everything of the hair that lies behind face and neck."""
    who, style = head.who, head.who.hair_style
    colour, wide = shade(who.hair_rgb, 0.72), head.who.face_width
    painter = _BACK.get(style)
    if painter:
        painter(canvas, head, colour, wide)


def _fall(canvas: Canvas, head: Head, colour: Colour, wide: float) -> None:
    style = head.who.hair_style
    low, volume = _LONG[style], _VOLUME[style]
    flare = 0.1 if low > 1.5 else 0.16
    half = [
        *_dome(wide, volume, 0.45),
        (wide + volume + flare, low * 0.75),
        (wide + volume + flare * 0.5, low),
        (wide * 0.4, low + 0.08),
    ]
    canvas.fill(head.rim(smooth(_mirrored(half)), depth=-0.25), colour)


def _cloud(canvas: Canvas, head: Head, colour: Colour, wide: float) -> None:
    style = head.who.hair_style
    if style == "curls":
        return
    low = 0.95 if style == "curly" else 0.2
    _blobs(
        canvas,
        head,
        colour,
        _ring(wide + _VOLUME[style] + 0.12, low, 1.28 if style == "curly" else 1.36),
        0.3,
        depth=-0.2,
    )
    canvas.fill(
        head.rim(smooth(_mirrored([*_dome(wide, _VOLUME[style] + 0.12, 0.2), (wide, low)])), depth=-0.2),
        colour,
    )


def _ring(wide: float, low: float, high: float) -> Points:
    """Centres of curls along the outline from the lower left over the crown to the lower right."""
    angle = np.linspace(np.pi * 1.0, 0, 9)
    arc = [(float(np.cos(a) * wide * 0.98), float(-0.1 - np.sin(a) * (high - 0.25))) for a in angle]
    down = [(wide * 1.02, 0.1 + (low - 0.1) * t) for t in (0.25, 0.65, 1.0)]
    return [*[(-x, y) for x, y in down[::-1]], *arc, *down]


def _blobs(canvas: Canvas, head: Head, colour: Colour, centres: Points, radius: float, depth: float) -> None:
    tones = (1.0, 0.86, 1.08)
    size = radius * head.unit_px
    for index, (x, y) in enumerate(head.rim(centres, depth)):
        tone = tones[index % 3]
        canvas.fill(oval(x, y, size, size * 0.96, steps=22), shade(colour, tone))


def _topknot(canvas: Canvas, head: Head, colour: Colour, wide: float) -> None:
    x, y = head.rim([(0.0, -1.3)], depth=-0.2)[0]
    unit = head.unit_px
    ball = oval(x, y, 0.36 * unit, 0.31 * unit, head.scene.roll)
    with canvas.inside(ball, colour) as layer:
        layer.wash(
            [[mix(head.who.hair_rgb, (255, 240, 220), 0.16)] * 2, [head.who.hair_rgb] * 2, [colour] * 2]
        )
        layer.stroke(
            head.rim(smooth([(-0.3, -1.3), (0.0, -1.42), (0.3, -1.26)], closed=False), -0.2),
            0.05 * unit,
            colour,
        )


def _tail(canvas: Canvas, head: Head, colour: Colour, wide: float) -> None:
    side = -1 if head.who.seed % 2 else 1
    tail = [
        (0.3, -0.95),
        (wide + 0.22, -0.85),
        (wide + 0.5, -0.2),
        (wide + 0.46, 0.6),
        (wide + 0.2, 1.25),
        (wide + 0.12, 0.5),
        (wide - 0.1, -0.3),
    ]
    outline = head.rim(smooth([(side * x, y) for x, y in tail]), depth=-0.3)
    with canvas.inside(outline, head.who.hair_rgb) as layer:
        layer.wash([[head.who.hair_rgb] * 2, [shade(head.who.hair_rgb, 0.7)] * 2])
        line = smooth(
            [(side * x, y) for x, y in ((wide, -0.8), (wide + 0.32, -0.2), (wide + 0.28, 0.9))], closed=False
        )
        layer.stroke(head.rim(line, -0.3), 0.06 * head.unit_px, mix(head.who.hair_rgb, (255, 244, 226), 0.2))


_BACK: dict[str, Callable[[Canvas, Head, Colour, float], None]] = {
    "long": _fall, "wavy": _fall, "bob": _fall, "fringe": _fall, "mane": _fall, "curly": _cloud,
        "afro": _cloud,
    "bun": _topknot, "ponytail": _tail,
}  # fmt: skip


def paint_front_hair(canvas: Canvas, head: Head) -> None:
    """Hair over forehead, temples and shoulders; also its shadow on the forehead is part of the skin."""
    who, style = head.who, head.who.hair_style
    if style == "bald":
        return
    colour = mix(who.hair_rgb, who.skin, 0.28) if style == "buzz" else who.hair_rgb
    cap = _cap(head, style)
    if style in ("curly", "afro", "curls"):
        canvas.fill(cap, shade(colour, 0.92))
        _curls(canvas, head, colour)
        return
    if style == "quiff":
        _paint(canvas, head, cap, shade(colour, 0.82), style, 0.0)
        wide = who.face_width
        wave = [
            (-wide * 0.8, -0.62),
            (-wide * 0.86, -1.0),
            (-wide * 0.3, -1.34),
            (wide * 0.5, -1.38),
            (wide * 0.92, -1.05),
            (wide * 0.8, -0.66),
            (wide * 0.2, -0.6),
        ]
        _paint(canvas, head, head.rim(smooth(wave), depth=0.3), colour, style, 0.0)
        return
    _paint(canvas, head, cap, colour, style, 0.0)
    if style in _LONG:
        _side_locks(canvas, head, colour, style)
    if style == "braids":
        _braids(canvas, head, colour)


def _side_locks(canvas: Canvas, head: Head, colour: Colour, style: str) -> None:
    wide, volume, low = head.who.face_width, _VOLUME[style], _LONG[style]
    wave = 0.09 if style == "wavy" else 0.0
    for side in (-1, 1):
        outer = [
            (wide + volume * 0.9, -0.25),
            (wide + volume + wave, 0.3),
            (wide + volume * 1.1 - wave, low * 0.5),
            (wide + volume * 1.25 + wave, low * 0.78),
            (wide * 0.98 + volume, low),
        ]
        inner = [
            (wide * 0.72, low + 0.02),
            (wide * 0.84 - wave * 0.4, low * 0.75),
            (wide * 0.99 + wave * 0.3, low * 0.48),
            (wide * 0.97, 0.2),
            (wide * 0.9, -0.25),
        ]
        outline = head.rim(smooth([(side * x, y) for x, y in [*outer, *inner]], steps=5), depth=0.05)
        with canvas.inside(outline, colour) as layer:
            layer.wash([[colour] * 2, [mix(colour, (255, 240, 220), 0.08)] * 2, [shade(colour, 0.76)] * 2])
            for x, tone in ((0.35, 0.8), (0.75, 1.16)):
                line = [
                    (side * (wide * 0.95 + (volume + 0.1) * x + wave * bend), y)
                    for y, bend in ((-0.3, 0), (0.3, 1), (low * 0.55, -1), (low, 0.5))
                ]
                tint = shade(colour, tone) if tone < 1 else mix(colour, (255, 244, 226), 0.18)
                layer.stroke(head.rim(smooth(line, closed=False), 0.05), 0.05 * head.unit_px, tint)


def _curls(canvas: Canvas, head: Head, colour: Colour) -> None:
    wide, style = head.who.face_width, head.who.hair_style
    if style == "curls":
        arc = np.linspace(np.pi * 0.97, np.pi * 0.03, 8)
        centres = [(float(np.cos(a) * wide * 0.95), float(-0.42 - np.sin(a) * 0.68)) for a in arc]
        centres += [(-0.36, -0.72), (0.36, -0.72), (0.0, -0.66), (-0.18, -0.92), (0.18, -0.92)]
        _blobs(canvas, head, colour, centres, 0.21, depth=0.1)
        return
    low = 0.85 if style == "curly" else 0.02
    side = wide + _VOLUME[style] * 0.75
    centres = [(s * side, 0.1 + (low - 0.1) * t) for t in (1.0, 0.6, 0.2) for s in (-1, 1)]
    centres += [
        (s * x, y)
        for x, y in ((side * 0.98, -0.3), (side * 0.86, -0.66), (side * 0.56, -0.96), (0.2, -1.12))
        for s in (-1, 1)
    ]
    centres += [(-0.22, -0.86), (0.22, -0.86), (0.0, -1.0)]
    _blobs(canvas, head, colour, centres, 0.24, depth=0.1)


def _braids(canvas: Canvas, head: Head, colour: Colour) -> None:
    wide = head.who.face_width
    for side in (-1, 1):
        places = head.rim([(side * (wide + 0.06 + 0.03 * k), 0.4 + 0.28 * k) for k in range(7)], depth=0.0)
        for index, (x, y) in enumerate(places):
            size = head.unit_px * (0.17 - 0.006 * index)
            tone = 1.0 if index % 2 else 0.84
            canvas.fill(oval(x, y, size, size * 0.95, steps=16), shade(colour, tone))
        x, y = places[-1]
        canvas.fill(oval(x, y, head.unit_px * 0.1, head.unit_px * 0.07, steps=12), (214, 60, 70))
