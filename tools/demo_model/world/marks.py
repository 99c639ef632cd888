"""What a face wears: beard, glasses, earrings, freckles, a mole."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, oval, ribbon, smooth
from .head import EYE_LINE, Head, ear_lobes
from .palette import EARRINGS, FRAMES, mix, shade

_FRECKLES = ((-0.5, 0.3), (-0.4, 0.38), (-0.3, 0.3), (-0.22, 0.4), (-0.38, 0.24), (-0.12, 0.28),
             (0.5, 0.3), (0.4, 0.38), (0.3, 0.3), (0.22, 0.4), (0.38, 0.24), (0.12, 0.28), (0.0,
                 0.2))  # fmt: skip


def paint_beard(canvas: Canvas, head: Head) -> None:
    who = head.who
    if who.beard == "none":
        return
    colour = mix(shade(who.hair_rgb, 0.88), (50, 40, 38), 0.12)
    if who.beard == "stubble":
        with canvas.inside(head.outline()) as skin:
            skin.soft(_beard_outline(head), mix(colour, shade(who.skin, 0.5), 0.4), 0.5, 0.09 * head.unit_px)
        return
    if who.beard == "full":
        outline = _beard_outline(head)
        with canvas.inside(outline, colour) as layer:
            layer.soft(
                head.at(smooth([(-0.3, 0.8), (0.3, 0.8), (0.2, 1.2), (-0.2, 1.2)])),
                shade(colour, 1.25),
                0.6,
                3,
            )
            _beard_locks(layer, head, colour)
    if who.beard == "goatee":
        low, wide = who.chin_length + 0.09, who.chin_width * 0.5 + 0.14
        top = who.mouth_height + 0.13
        goatee = [
            (-wide, top),
            (0, top + 0.05),
            (wide, top),
            (wide * 0.8, low - 0.1),
            (0, low),
            (-wide * 0.8, low - 0.1),
        ]
        canvas.fill(head.at(smooth(goatee)), colour)
    _paint_moustache(canvas, head, shade(colour, 0.94))


def _beard_outline(head: Head) -> np.ndarray:
    who = head.who
    wide, jaw, low = who.face_width, who.jaw_width, who.chin_length
    mouth = who.mouth_width * 1.2
    half = [
        (wide * 0.99, 0.14),
        (jaw * 1.05, 0.62 * low),
        ((jaw + who.chin_width) * 0.55, 0.92 * low),
        (who.chin_width * 0.8, 1.1 * low),
    ]
    inner = [
        (wide * 0.84, 0.22),
        (wide * 0.72, 0.46),
        (mouth * 0.95, who.mouth_height - 0.14),
        (mouth * 0.4, who.mouth_height - 0.17),
    ]
    right = [*inner[::-1], *half]
    left = [(-x, y) for x, y in reversed(right)]
    points = np.array([*right, (0.0, 1.12 * low), *left])
    depth = head.depth(points)
    shift = np.stack([depth * np.sin(head.scene.yaw), depth * head.scene.nod], axis=1)
    return head.place(smooth(points + shift, steps=4))


def _beard_locks(layer: Canvas, head: Head, colour: tuple[int, int, int]) -> None:
    low = head.who.chin_length
    for x in (-0.42, -0.2, 0.0, 0.2, 0.42):
        lock = head.at(smooth([(x, 0.74), (x * 0.92, 0.92 * low), (x * 0.7, 1.12 * low)], closed=False))
        layer.stroke(lock, 0.05 * head.unit_px, shade(colour, 0.84))


def _paint_moustache(canvas: Canvas, head: Head, colour: tuple[int, int, int]) -> None:
    who = head.who
    top, wide = EYE_LINE + who.nose_length + 0.06, who.mouth_width * 1.12
    base = who.mouth_height - who.lip_fullness * 0.45
    for side in (-1, 1):
        wing = [(0, top), (side * wide * 0.5, top + 0.01), (side * wide * 0.98, base - 0.01),
            (side * wide * 1.12, base + 0.045),
                (side * wide * 0.72, base + 0.03), (side * wide * 0.25, base), (0, base)]  # fmt: skip
        canvas.fill(head.at(smooth(wing), lift=0.06), colour)


def paint_freckles(canvas: Canvas, head: Head) -> None:
    who = head.who
    if who.freckles:
        colour = mix(who.skin, (150, 76, 40), 0.5)
        for x, y in head.at(list(_FRECKLES), lift=0.02):
            canvas.fill(oval(x, y, 0.03 * head.unit_px, 0.027 * head.unit_px, steps=10), colour)
    if who.mole:
        x, y = head.at([who.mole], lift=0.02)[0]
        canvas.fill(oval(x, y, 0.046 * head.unit_px, 0.046 * head.unit_px, steps=14), (58, 34, 30))


def paint_glasses(canvas: Canvas, head: Head) -> None:
    who, unit = head.who, head.unit_px
    if who.glasses == "none":
        return
    colour, thick = FRAMES[who.glasses_colour], 0.052 * unit
    half = min(who.eye_spacing - 0.05, who.eye_size * 1.4)
    for side in (-1, 1):
        x, y = side * (who.eye_spacing + 0.015), EYE_LINE + 0.02
        if who.glasses == "round":
            rim = oval(x, y, half, half * 0.98)
        else:
            rim = smooth(_rounded(x, y, half * 1.04, half * 0.74), steps=3)
        ring = head.at(rim, lift=0.12)
        with canvas.inside(ring) as lens:
            lens.soft(ring, (255, 255, 255), 0.1, 1.0)
        canvas.fill_ring(ring, thick, colour)
        arm = head.at([(side * (who.eye_spacing + half), y - 0.05)], lift=0.12)[0]
        ear = head.rim([(side * (who.face_width + 0.0), y)], depth=0.0)[0]
        canvas.fill(ribbon(np.linspace(arm, ear, 3), thick * 0.9), colour)
    inner = who.eye_spacing - half
    bridge = [(-inner, EYE_LINE - 0.0), (0, EYE_LINE - 0.05), (inner, EYE_LINE - 0.0)]
    canvas.stroke(head.at(smooth(bridge, closed=False), lift=0.14), thick, colour)


def _rounded(x: float, y: float, wide: float, high: float) -> list[tuple[float, float]]:
    corner = [
        (1, -0.55),
        (0.72, -1),
        (0, -1),
        (-0.72, -1),
        (-1, -0.55),
        (-0.97, 0.5),
        (-0.66, 1),
        (0, 1),
        (0.66, 1),
        (0.97, 0.5),
    ]
    return [(x + px * wide, y + py * high) for px, py in corner]


def paint_earrings(canvas: Canvas, head: Head) -> None:
    who, unit = head.who, head.unit_px
    if who.earrings == "none":
        return
    colour = EARRINGS[who.earring_colour]
    for x, y in ear_lobes(head):
        if who.earrings == "studs":
            canvas.fill(oval(x, y + 0.05 * unit, 0.085 * unit, 0.085 * unit, steps=16), colour)
            canvas.fill(
                oval(x - 0.02 * unit, y + 0.02 * unit, 0.03 * unit, 0.03 * unit, steps=8),
                mix(colour, (255, 255, 255), 0.7),
            )
        else:
            canvas.fill_ring(oval(x, y + 0.17 * unit, 0.14 * unit, 0.17 * unit), 0.055 * unit, colour)
