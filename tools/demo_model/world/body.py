"""Neck, torso, arms, legs and clothes, and where the joints are."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, oval, ribbon, smooth
from .identity import Identity
from .palette import CLOTHS, Colour, mix, shade
from .scene import ARMS, POSES, Scene

_UPPER, _FORE = 2.0, 1.72
_NECK_SINK = 0.12


class Body:
    """Places body points [n, 2] (unit and origin as the untilted head's) into the picture and knows the
    joints."""

    def __init__(self, who: Identity, scene: Scene, centre_px: tuple[float, float], unit_px: float) -> None:
        self.who, self.scene, self.unit_px = who, scene, unit_px
        lean = -0.8 * np.sin(scene.roll)
        self._origin = np.array([centre_px[0] + lean * unit_px, centre_px[1] - _NECK_SINK * unit_px])
        self.cloth = CLOTHS[scene.outfit_colour]
        self.joints = {name: np.array(place) for name, place in self._joints().items()}

    def at(self, points: object) -> np.ndarray:
        return np.asarray(points, dtype=np.float64) * self.unit_px + self._origin

    def _joints(self) -> dict[str, tuple[float, float]]:
        """Joints in body units; 'left' and 'right' are the picture's."""
        joints: dict[str, tuple[float, float]] = {"neck": (0.0, 1.5)}
        arms = POSES[self.scene.pose]
        for side, name in ((-1, "left"), (1, "right")):
            first = (side == 1) == self.scene.mirrored
            upper, fore = ARMS[arms[0] if first else arms[1]]
            jitter = self.scene.arm_jitter[0 if first else 1]
            shoulder = (side * (self.who.shoulder_width - 0.24), 1.98)
            elbow = _hang(shoulder, side, upper + jitter * 0.6, _UPPER)
            joints[f"{name} shoulder"] = shoulder
            joints[f"{name} elbow"] = elbow
            joints[f"{name} wrist"] = _hang(elbow, side, fore + jitter, _FORE)
            joints[f"{name} hip"] = (side * 0.56, 4.85)
            joints[f"{name} knee"] = (side * 0.6, 7.2)
            joints[f"{name} ankle"] = (side * 0.62, 9.35)
        return joints


def _hang(start: tuple[float, float], side: int, angle_deg: float, length: float) -> tuple[float, float]:
    angle = np.deg2rad(angle_deg)
    return start[0] + side * float(np.sin(angle)) * length, start[1] + float(np.cos(angle)) * length


def _mirrored(half: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [*half, *[(-x, y) for x, y in reversed(half)]]


def tones(colour: Colour, light_side: int) -> list[list[Colour]]:
    """A gradient's grid: sides in shadow, the one away from the light more so, lower part darker."""
    left, right = (0.74 if light_side == 1 else 0.86), (0.74 if light_side == -1 else 0.86)
    top = [shade(colour, left), mix(colour, (255, 255, 255), 0.07), colour, shade(colour, right)]
    return [top, [shade(tone, 0.84) for tone in top]]


def paint_legs(canvas: Canvas, body: Body) -> None:
    dress = body.scene.outfit == "dress"
    cloth = body.who.skin if dress else body.scene.lower
    for side in (-1, 1):
        leg = [(side * 0.54, 4.7), (side * 0.6, 7.2), (side * 0.62, 9.5)]
        widths = np.interp(
            np.linspace(0, 1, 13), [0, 0.5, 1], [0.62, 0.5, 0.34] if dress else [1.12, 0.86, 0.66]
        )
        line = body.at(smooth(leg, closed=False))
        with canvas.inside(ribbon(line, widths * body.unit_px), cloth) as layer:
            layer.wash(tones(cloth, body.scene.light_side))
        shoe = [
            (side * 0.34, 9.32),
            (side * 0.95, 9.32),
            (side * 1.12, 9.75),
            (side * 1.05, 9.95),
            (side * 0.32, 9.95),
        ]
        canvas.fill(body.at(smooth(shoe)), (52, 36, 34) if not dress else shade(body.cloth, 0.6))
    if not dress:
        seat = _mirrored([(0.98, 4.5), (1.05, 5.2), (0.4, 5.5)])
        canvas.fill(body.at(smooth(seat)), shade(cloth, 0.96))


def _torso(body: Body) -> list[tuple[float, float]]:
    wide = body.who.shoulder_width
    woman = body.who.gender == "woman"
    waist, hip = (wide * 0.68, 1.08) if woman else (wide * 0.78, wide * 0.74)
    half = [
        (0.34, 1.3),
        (wide * 0.56, 1.5),
        (wide * 0.88, 1.62),
        (wide, 1.95),
        (wide * 0.9, 2.6),
        (waist, 3.7),
        (hip, 4.7),
    ]
    if body.scene.outfit == "dress":
        return _mirrored([*half, (1.42, 6.2), (1.55, 7.0), (0.7, 7.12)])
    return _mirrored([*half, (hip * 0.99, 5.05), (0.5, 5.12)])


def paint_neck(canvas: Canvas, body: Body, jaw_px: np.ndarray) -> None:
    """Neck from the jaw's middle (picture px) down to the collar, with the head's shadow on it."""
    who, unit = body.who, body.unit_px
    wide = 0.33 if who.gender == "woman" else 0.43
    base = body.at(_mirrored([(wide * 1.1, 1.36), (wide * 1.9, 1.56), (0.3, 2.0)]))
    top = np.array([[-wide, -0.45], [wide, -0.45]]) * unit + jaw_px
    right, left = base[:3], base[3:]
    outline = np.concatenate([top[1:], right, left, top[:1]])
    with canvas.inside(outline, shade(who.skin, 0.92)) as layer:
        layer.wash([[shade(who.skin, 0.72)] * 2, [shade(who.skin, 0.78)] * 2, [shade(who.skin, 0.92)] * 2])
        shadow = smooth([(-0.9, -0.6), (0.9, -0.6), (0.6, -0.02), (0.0, 0.24), (-0.6, -0.02)]) * unit + jaw_px
        layer.soft(shadow, shade(mix(who.skin, (140, 40, 50), 0.25), 0.6), 0.8, 0.05 * unit)


def paint_torso(canvas: Canvas, body: Body) -> None:
    outline = body.at(smooth(_torso(body), steps=5))
    with canvas.inside(outline, body.cloth) as layer:
        layer.wash(tones(body.cloth, body.scene.light_side))
        _DRESSING[body.scene.outfit](layer, body)


def _neckline(layer: Canvas, body: Body, points: list[tuple[float, float]], rim: Colour | None) -> None:
    who, unit = body.who, body.unit_px
    outline = body.at(smooth(points))
    if rim:
        layer.stroke(np.concatenate([outline, outline[:1]]), 0.14 * unit, rim)
    with layer.inside(outline, shade(who.skin, 0.96)) as chest:
        chest.wash([[shade(who.skin, 0.86)] * 2, [shade(who.skin, 0.92)] * 2, [shade(who.skin, 0.99)] * 2])


def _tee(layer: Canvas, body: Body) -> None:
    wide = 0.5 if body.who.gender == "woman" else 0.52
    _neckline(
        layer,
        body,
        _mirrored([(0.2, 1.05), (wide, 1.25), (wide * 0.85, 1.6), (0.2, 1.78)]),
        shade(body.cloth, 0.76),
    )


def _blouse(layer: Canvas, body: Body) -> None:
    neck = [(-0.5, 1.1), (0.5, 1.1), (0.46, 1.5), (0.1, 2.2), (0.0, 2.32), (-0.1, 2.2), (-0.46, 1.5)]
    _neckline(layer, body, neck, None)
    for side in (-1, 1):
        lapel = [
            (side * 0.34, 1.2),
            (side * 0.72, 1.4),
            (side * 0.62, 1.86),
            (side * 0.02, 2.4),
            (side * 0.4, 1.7),
        ]
        layer.fill(body.at(lapel), mix(body.cloth, (255, 255, 255), 0.28))
    layer.stroke(body.at([(0.0, 2.4), (0.0, 3.6), (0.0, 5.2)]), 0.05 * body.unit_px, shade(body.cloth, 0.72))


def _sweater(layer: Canvas, body: Body) -> None:
    unit, light = body.unit_px, mix(body.cloth, (255, 250, 240), 0.62)
    layer.stroke(body.at(smooth([(-2, 2.72), (0, 2.84), (2, 2.72)], closed=False)), 0.42 * unit, light)
    collar = [(-0.5, 1.2), (0.5, 1.2), (0.56, 1.6), (0.0, 1.74), (-0.56, 1.6)]
    layer.fill(body.at(smooth(collar)), shade(body.cloth, 0.8))


def _dress(layer: Canvas, body: Body) -> None:
    _neckline(layer, body, _mirrored([(0.3, 1.05), (0.72, 1.2), (0.66, 1.66), (0.25, 2.05)]), None)
    unit = body.unit_px
    layer.stroke(
        body.at(smooth([(-1.3, 3.66), (0, 3.76), (1.3, 3.66)], closed=False)),
        0.26 * unit,
        shade(body.cloth, 0.62),
    )
    for x in (-0.55, 0.1, 0.7):
        layer.stroke(
            body.at([(x * 0.5, 4.1), (x * 0.9, 5.5), (x * 1.3, 7.2)]),
            np.array([0.04, 0.1, 0.16]) * unit,
            shade(body.cloth, 0.82),
        )


def _shirt(layer: Canvas, body: Body) -> None:
    light, unit = mix(body.cloth, (255, 255, 255), 0.3), body.unit_px
    _neckline(layer, body, [(-0.4, 1.1), (0.4, 1.1), (0.34, 1.5), (0.0, 1.86), (-0.34, 1.5)], None)
    layer.stroke(
        body.at([(0.0, 1.8), (0.0, 3.5), (0.0, 5.2)]), 0.2 * unit, mix(body.cloth, (255, 255, 255), 0.16)
    )
    for side in (-1, 1):
        layer.fill(body.at([(side * 0.4, 1.16), (side * 0.66, 1.5), (side * 0.5, 2.02), (0.0, 1.84)]), light)
    for y in (2.3, 3.0, 3.7):
        x, place_y = body.at((0.0, y))
        layer.fill(oval(x, place_y, 0.06 * unit, 0.06 * unit, steps=10), shade(body.cloth, 0.6))


def _suit(layer: Canvas, body: Body) -> None:
    unit = body.unit_px
    layer.fill(body.at([(-0.5, 1.1), (0.5, 1.1), (0.62, 1.5), (0.0, 3.1), (-0.62, 1.5)]), (242, 242, 244))
    tie = (150, 30, 44) if body.scene.outfit_colour not in ("red", "pink", "orange") else (36, 52, 104)
    layer.fill(
        body.at(
            [(-0.14, 1.72), (0.14, 1.72), (0.1, 1.95), (0.22, 2.75), (0.0, 3.1), (-0.22, 2.75), (-0.1, 1.95)]
        ),
        tie,
    )
    for side in (-1, 1):
        layer.fill(
            body.at([(side * 0.42, 1.2), (side * 0.52, 1.5), (side * 0.3, 1.95), (0.0, 1.7)]), (226, 228, 234)
        )
        lapel = [
            (side * 0.5, 1.3),
            (side * 0.92, 1.62),
            (side * 0.78, 2.0),
            (side * 0.9, 2.15),
            (0.0, 3.3),
            (side * 0.44, 2.1),
        ]
        layer.fill(body.at(lapel), shade(body.cloth, 0.72))
    layer.stroke(body.at([(0.0, 3.2), (0.03, 4.2), (0.1, 5.2)]), 0.05 * unit, shade(body.cloth, 0.6))


_DRESSING = {
    "t-shirt": _tee,
    "blouse": _blouse,
    "sweater": _sweater,
    "dress": _dress,
    "shirt": _shirt,
    "suit": _suit,
}
