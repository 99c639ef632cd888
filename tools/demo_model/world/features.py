"""Eyes, brows, nose, mouth: the crisp drawing of the face."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, oval, smooth
from .head import EYE_LINE, Head
from .palette import Colour, mix, shade

_INK: Colour = (38, 26, 26)


def _shape(
    head: Head, points: list[tuple[float, float]], lift: float = 0.0, closed: bool = True
) -> np.ndarray:
    return head.at(smooth(points, closed=closed, steps=5), lift)


def eye_outline(head: Head, side: int) -> np.ndarray:
    """Face points [8, 2] around the eye at the picture's left (-1) or right (1), from the inner corner
    upwards."""
    who, scene = head.who, head.scene
    wide = who.eye_size
    high = wide * who.eye_open * (1.0 + 1.5 * scene.brow_lift)
    squint = 0.75 - 0.3 * max(0.0, scene.smile) * (0.4 + 0.6 * scene.mouth_open)
    corners = np.array(
        [(-1, 0.22), (-0.55, -0.7), (0.05, -1), (0.62, -0.72), (1, -0.05), (0.55, squint * 0.8), (0,
            squint), (-0.55, squint * 0.75)]
    )  # fmt: skip
    corners = corners * (wide, high)
    corners[:, 1] -= who.eye_tilt * corners[:, 0] / wide
    corners[:, 0] *= side
    return corners + np.array((side * who.eye_spacing, EYE_LINE))


def paint_eye(canvas: Canvas, head: Head, side: int) -> None:
    who, unit = head.who, head.unit_px
    corners = eye_outline(head, side)
    outline = _shape(head, [tuple(point) for point in corners])
    lid = head.at(smooth(corners[:5], closed=False, steps=5))
    woman = who.gender == "woman"
    fold = head.at(smooth(corners[:5] - (0, 0.055), closed=False, steps=5))
    canvas.stroke(
        fold, 0.03 * unit * np.linspace(0.5, 1, len(fold)), shade(mix(who.skin, (120, 50, 50), 0.2), 0.72)
    )
    with canvas.inside(outline, (246, 244, 242)) as ball:
        _paint_iris(ball, head, side)
        ball.stroke(lid, 0.07 * unit, (196, 190, 196))
        ball.stroke(lid, 0.045 * unit, shade(_INK, 1.6))
    widths = unit * (np.linspace(0.025, 0.062, len(lid)) if woman else np.linspace(0.022, 0.036, len(lid)))
    canvas.stroke(lid, widths, _INK)
    below = head.at(smooth(corners[[4, 5, 6, 7, 0]], closed=False, steps=4))
    canvas.stroke(below, 0.017 * unit, mix(shade(who.skin, 0.6), _INK, 0.25))
    if woman:
        end, wide = corners[4], who.eye_size
        tips = np.array([(-0.12 * wide * side, -0.02), (0.34 * wide * side, -0.055)]) + end
        wing = head.at(tips)
        canvas.stroke(np.linspace(wing[0], wing[1], 4), unit * np.array([0.06, 0.05, 0.035, 0.015]), _INK)


def _paint_iris(ball: Canvas, head: Head, side: int) -> None:
    who, scene, unit = head.who, head.scene, head.unit_px
    radius = who.eye_size * 0.56
    reach = who.eye_size * 0.38
    x = side * who.eye_spacing + scene.gaze[0] * reach
    y = EYE_LINE - 0.1 * who.eye_size + scene.gaze[1] * reach
    ball_x, ball_y = head.at([(x, y)])[0]
    size = radius * unit
    ball.fill(oval(ball_x, ball_y, size * head_narrowing(head, x), size), shade(who.eye_rgb, 0.55))
    ball.fill(oval(ball_x, ball_y, size * 0.82 * head_narrowing(head, x), size * 0.82), who.eye_rgb)
    ball.fill(
        oval(ball_x, ball_y + size * 0.35, size * 0.55, size * 0.38), mix(who.eye_rgb, (255, 255, 230), 0.32)
    )
    ball.fill(oval(ball_x, ball_y, size * 0.46, size * 0.46, steps=16), (18, 14, 18))
    glint = -0.32 if scene.light_side <= 0 else 0.32
    ball.fill(
        oval(ball_x + glint * size, ball_y - 0.32 * size, size * 0.24, size * 0.24, steps=12), (255, 255, 255)
    )


def head_narrowing(head: Head, x: float) -> float:
    """How much narrower (below 1) or wider something looks at that x of the turned face."""
    near = head.turn([(x - 0.02, EYE_LINE), (x + 0.02, EYE_LINE)])
    return float(np.clip((near[1, 0] - near[0, 0]) / 0.04, 0.6, 1.1))


def paint_brow(canvas: Canvas, head: Head, side: int) -> None:
    who, unit = head.who, head.unit_px
    wide = who.eye_size
    y = EYE_LINE - who.brow_height - head.scene.brow_lift
    points = np.array(
        [(-0.95, who.brow_slant), (-0.3, -0.02), (0.45, -who.brow_arch), (1.3, 0.03 - who.brow_slant)]
    )
    points[:, 0] = (points[:, 0] * wide + who.eye_spacing) * side
    points[:, 1] += y
    line = head.at(smooth(points, closed=False, steps=5), lift=0.03)
    profile = np.interp(np.linspace(0, 1, len(line)), [0, 0.2, 0.6, 1], [0.8, 1.1, 0.95, 0.3])
    canvas.stroke(line, profile * who.brow_thickness * unit, who.brow_rgb)


def paint_nose(canvas: Canvas, head: Head) -> None:
    who, unit = head.who, head.unit_px
    wide, base = who.nose_width, EYE_LINE + who.nose_length
    line, hole = (
        shade(mix(who.skin, (140, 50, 40), 0.18), 0.66),
        shade(mix(who.skin, (80, 20, 20), 0.3), 0.42),
    )
    under = [(-wide, base - 0.05), (-wide * 0.55, base + 0.02), (0, base + 0.05), (wide * 0.55, base + 0.02),
             (wide, base - 0.05), (wide * 0.5, base - 0.005), (0, base + 0.0), (-wide * 0.5,
                 base - 0.005)]  # fmt: skip
    canvas.fill(_shape(head, under, lift=0.1), line)
    for side in (-1, 1):
        wing = [
            (side * wide * 0.82, base - 0.13),
            (side * wide * 1.03, base - 0.06),
            (side * wide * 0.8, base + 0.005),
        ]
        canvas.stroke(_shape(head, wing, 0.08, closed=False), 0.026 * unit, line)
        x, y = head.at([(side * wide * 0.46, base + 0.004)], lift=0.12)[0]
        canvas.fill(
            oval(x, y, wide * 0.24 * unit, 0.03 * unit, head.scene.roll + side * -0.25, steps=14), hole
        )


def paint_mouth(canvas: Canvas, head: Head) -> None:
    who, scene, unit = head.who, head.scene, head.unit_px
    full, open_by = who.lip_fullness, 0.17 * scene.mouth_open
    wide = who.mouth_width * (1 + 0.18 * max(0.0, scene.smile))
    lift = 0.075 * scene.smile
    y = who.mouth_height - 0.02 * scene.mouth_open
    sag = 0.35 * lift
    seam = [(-wide, -lift), (-wide * 0.5, sag * 0.4), (0, sag + 0.01), (wide * 0.5, sag * 0.4), (wide, -lift)]
    floor = [
        (wide * 0.6, sag * 0.4 + open_by * 0.75),
        (0, sag + 0.01 + open_by),
        (-wide * 0.6, sag * 0.4 + open_by * 0.75),
    ]
    peaks = [(-wide, -lift), (-wide * 0.55, -full * 0.5 - lift * 0.3), (-wide * 0.22, -full * 0.85), (0,
        -full * 0.62),
             (wide * 0.22, -full * 0.85), (wide * 0.55, -full * 0.5 - lift * 0.3), (wide, -lift)]  # fmt: skip
    bowl = [(wide * 0.6, sag * 0.4 + open_by * 0.8 + full * 0.72), (0, sag + open_by + full * 1.15),
            (-wide * 0.6, sag * 0.4 + open_by * 0.8 + full * 0.72)]  # fmt: skip

    def shift(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(px, py + y) for px, py in points]

    upper, lower = shade(who.lip_rgb, 0.86), who.lip_rgb
    canvas.fill(_shape(head, shift([*seam, *bowl]), 0.03), lower)
    gleam = _shape(head, shift([(-wide * 0.3, sag + open_by + full * 0.5), (0,
        sag + open_by + full * 0.42), (wide * 0.3, sag + open_by + full * 0.5), (0,
            sag + open_by + full * 0.72)]), 0.03)  # fmt: skip
    canvas.fill(gleam, mix(lower, (255, 236, 230), 0.32 if who.gender == "woman" else 0.12))
    canvas.fill(_shape(head, shift([*peaks, *seam[::-1][1:-1]]), 0.03), upper)
    line = _shape(head, shift(seam), 0.03, closed=False)
    if open_by > 0:
        with canvas.inside(_shape(head, shift([*seam, *floor]), 0.03), (96, 24, 34)) as gap:
            teeth = [(px, py + 0.6 * open_by * (1 - (px / wide) ** 2)) for px, py in reversed(seam)]
            gap.fill(_shape(head, shift([*seam, *teeth[1:-1]]), 0.03), (250, 248, 244))
    else:
        taper = np.interp(np.linspace(0, 1, len(line)), [0, 0.15, 0.5, 0.85, 1], [0.5, 1, 0.8, 1, 0.5])
        canvas.stroke(line, taper * 0.032 * unit, shade(mix(who.lip_rgb, (70, 10, 20), 0.5), 0.62))
