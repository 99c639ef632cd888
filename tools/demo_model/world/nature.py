"""Places outdoors without houses. Lengths are shares of the picture's shorter side; w and h are its sides."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, oval, smooth
from .palette import Colour, shade


def band(canvas: Canvas, w: float, top: float, bottom: float, upper: Colour, lower: Colour) -> None:
    """A band across the picture with a gradient from the upper to the lower colour."""
    rows = np.array([(0, top), (w, top), (w, bottom), (0, bottom)])
    with canvas.inside(rows, upper) as layer:
        layer.wash([[upper] * 2, [lower] * 2])


def ridge(rng: np.random.Generator, w: float, h: float, level: float, swing: float, count: int) -> np.ndarray:
    """Outline of hills: a wavy top at about the level, down to the picture's bottom."""
    xs = np.linspace(-0.1, w + 0.1, count)
    tops = smooth([(x, level + rng.uniform(-swing, swing)) for x in xs], closed=False)
    return np.concatenate([tops, [(w + 0.1, h + 0.1), (-0.1, h + 0.1)]])


def crown(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float, colour: Colour) -> None:
    """A leafy ball of three tones."""
    for dx, dy, scale, tone in ((0, 0, 1, 0.8), (-0.3, -0.1, 0.72, 1.0), (0.25, -0.25, 0.6, 1.18)):
        jitter = rng.uniform(-0.1, 0.1)
        radius = size * scale
        canvas.fill(oval(x + (dx + jitter) * size, y + dy * size, radius, radius * 0.85), shade(colour, tone))


def fir(canvas: Canvas, x: float, base: float, size: float, colour: Colour, snowy: bool) -> None:
    canvas.fill(
        np.array([(x - 0.04 * size, base), (x + 0.04 * size, base), (x, base - size * 0.4)]), (92, 64, 48)
    )
    for level, wide in ((0.12, 0.3), (0.36, 0.24), (0.6, 0.17)):
        y = base - level * size
        tip = y - 0.42 * size
        canvas.fill(np.array([(x - wide * size, y), (x + wide * size, y), (x, tip)]), colour)
        if snowy:
            cap = [
                (x - wide * size * 0.5, y - 0.2 * size),
                (x, y - 0.13 * size),
                (x + wide * size * 0.5, y - 0.2 * size),
                (x, tip),
            ]
            canvas.fill(np.array(cap), (240, 246, 252))


def forest(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    ground = h * rng.uniform(0.68, 0.8)
    band(canvas, w, 0, ground, (150, 196, 110), (86, 140, 74))
    canvas.fill(ridge(rng, w, h, ground, 0.02, 5), (74, 112, 48))
    for _ in range(5):
        x = rng.uniform(0, w)
        canvas.fill(
            np.array([(x - 0.02, 0), (x + 0.02, 0), (x + 0.025, ground), (x - 0.025, ground)]), (98, 104, 66)
        )
    start = rng.uniform(-0.1, 0.1)
    for index in range(5):
        x = start + index * w / 4 + rng.uniform(-0.05, 0.05)
        wide, foot = rng.uniform(0.035, 0.06), ground + rng.uniform(0.03, 0.12)
        bark = shade((98, 66, 42), rng.uniform(0.8, 1.1))
        canvas.fill(
            np.array([(x - wide, 0), (x + wide, 0), (x + wide * 1.5, foot), (x - wide * 1.5, foot)]), bark
        )
        canvas.fill(
            np.array([(x - wide, 0), (x - wide * 0.2, 0), (x - wide * 0.5, foot), (x - wide * 1.5, foot)]),
            shade(bark, 1.25),
        )
    for _ in range(6):
        crown(
            canvas,
            rng,
            rng.uniform(-0.1, w + 0.1),
            rng.uniform(-0.08, 0.12) * h,
            rng.uniform(0.14, 0.24),
            (46, 118, 48),
        )
    for _ in range(4):
        crown(
            canvas,
            rng,
            rng.uniform(-0.1, w + 0.1),
            ground + rng.uniform(0.02, 0.1),
            rng.uniform(0.08, 0.14),
            (58, 132, 54),
        )


def snow(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    ground = h * rng.uniform(0.5, 0.66)
    band(canvas, w, 0, h, (172, 194, 220), (226, 234, 244))
    canvas.fill(ridge(rng, w, h, ground - 0.04, 0.03, 5), (214, 224, 238))
    for _ in range(6):
        x = rng.uniform(0, w)
        fir(canvas, x, ground + rng.uniform(0.0, 0.1), rng.uniform(0.28, 0.5), (44, 92, 82), True)
    canvas.fill(ridge(rng, w, h, ground + 0.1, 0.03, 4), (246, 249, 253))
    for _ in range(12):
        canvas.fill(oval(rng.uniform(0, w), rng.uniform(0, ground), 0.014, 0.014, steps=10), (255, 255, 255))


def desert(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    line = h * rng.uniform(0.5, 0.62)
    band(canvas, w, 0, line + 0.1, (244, 168, 92), (254, 222, 156))
    canvas.fill(oval(rng.uniform(0.08, w - 0.08), h * rng.uniform(0.1, 0.22), 0.075, 0.075), (255, 246, 206))
    for level, tone in ((0.0, (222, 160, 88)), (0.1, (232, 176, 100)), (0.2, (214, 150, 78))):
        canvas.fill(ridge(rng, w, h, line + level, 0.05, 4), tone)
    for _ in range(2):
        _cactus(canvas, rng.uniform(0.04, w - 0.04), line + rng.uniform(0.12, 0.22), rng.uniform(0.24, 0.38))


def _cactus(canvas: Canvas, x: float, base: float, size: float) -> None:
    green = (70, 128, 66)
    canvas.stroke(np.array([(x, base), (x, base - size * 0.5), (x, base - size)]), size * 0.2, green)
    for side, y in ((-1, 0.4), (1, 0.55)):
        arm = [
            (x, base - size * y),
            (x + side * size * 0.28, base - size * y),
            (x + side * size * 0.3, base - size * (y + 0.34)),
        ]
        canvas.stroke(smooth(arm, closed=False), size * 0.15, shade(green, 0.9))


def moon(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    line = h * rng.uniform(0.58, 0.68)
    band(canvas, w, 0, line + 0.05, (6, 6, 18), (22, 22, 44))
    for _ in range(22):
        size = rng.uniform(0.006, 0.012)
        canvas.fill(oval(rng.uniform(0, w), rng.uniform(0, line), size, size, steps=8), (236, 236, 250))
    x, y = rng.uniform(0.12, w - 0.12), h * rng.uniform(0.12, 0.22)
    globe = oval(x, y, 0.11, 0.11)
    with canvas.inside(globe, (40, 110, 210)) as earth:
        earth.fill(oval(x - 0.05, y - 0.03, 0.05, 0.045, 0.5), (84, 160, 84))
        earth.fill(oval(x + 0.05, y + 0.03, 0.045, 0.05), (84, 160, 84))
        earth.fill(oval(x, y - 0.1, 0.08, 0.025), (246, 250, 255))
        earth.fill(oval(x + 0.02, y + 0.09, 0.1, 0.018), (236, 244, 252))
    canvas.fill(ridge(rng, w, h, line, 0.02, 6), (134, 134, 142))
    canvas.fill(ridge(rng, w, h, line + 0.14, 0.02, 5), (160, 160, 166))
    for _ in range(7):
        depth = rng.uniform(0.03, 0.32)
        size = 0.04 + 0.22 * depth
        px, py = rng.uniform(0, w), line + depth
        canvas.fill(oval(px, py, size, size * 0.36), (102, 102, 112))
        canvas.fill(oval(px, py + size * 0.1, size * 0.85, size * 0.26), (126, 126, 134))


def mountains(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    line = h * rng.uniform(0.58, 0.68)
    band(canvas, w, 0, line, (104, 164, 224), (214, 232, 244))
    for index in range(4):
        x = (index + rng.uniform(0.1, 0.6)) * w / 3.4 - 0.1
        top, wide = h * rng.uniform(0.12, 0.34), rng.uniform(0.28, 0.4)
        tone = shade((108, 116, 138), rng.uniform(0.85, 1.1))
        canvas.fill(np.array([(x - wide, line), (x, top), (x + wide, line)]), tone)
        canvas.fill(np.array([(x, top), (x + wide, line), (x + wide * 0.25, line)]), shade(tone, 0.78))
        cut = 0.36
        y = top + (line - top) * cut
        cap = [
            (x, top),
            (x + wide * cut, y),
            (x + wide * 0.16, y - 0.035),
            (x, y + 0.025),
            (x - wide * 0.18, y - 0.03),
            (x - wide * cut, y),
        ]
        canvas.fill(np.array(cap), (246, 249, 253))
    canvas.fill(ridge(rng, w, h, line, 0.035, 4), (92, 150, 84))
    canvas.fill(ridge(rng, w, h, line + 0.14, 0.03, 4), (118, 176, 88))
    for _ in range(4):
        fir(
            canvas,
            rng.uniform(0, w),
            line + rng.uniform(0.04, 0.14),
            rng.uniform(0.14, 0.24),
            (42, 96, 64),
            False,
        )


def garden(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    line = h * rng.uniform(0.5, 0.6)
    band(canvas, w, 0, line, (150, 208, 246), (224, 242, 248))
    for index in range(5):
        crown(
            canvas,
            rng,
            index * w / 4 + rng.uniform(-0.05, 0.05),
            line - 0.04,
            rng.uniform(0.16, 0.22),
            (76, 152, 62),
        )
    band(canvas, w, line + 0.08, h, (124, 194, 82), (92, 164, 64))
    petals: tuple[Colour, ...] = (
        (236, 60, 92),
        (250, 206, 60),
        (250, 250, 250),
        (238, 130, 186),
        (160, 90, 200),
    )
    for index in range(16):
        x, y = (index + rng.uniform(0, 1)) * w / 16, line + rng.uniform(-0.08, 0.42)
        size, colour = rng.uniform(0.034, 0.05), petals[int(rng.integers(len(petals)))]
        for angle in range(5):
            turn = angle * 2 * np.pi / 5
            canvas.fill(
                oval(
                    x + size * 0.7 * np.cos(turn),
                    y + size * 0.7 * np.sin(turn),
                    size * 0.6,
                    size * 0.6,
                    steps=12,
                ),
                colour,
            )
        canvas.fill(
            oval(x, y, size * 0.45, size * 0.45, steps=10),
            (250, 190, 50) if colour[2] > 100 else (150, 70, 30),
        )
