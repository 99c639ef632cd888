"""Places by, on and under water. Lengths are shares of the picture's shorter side; w and h are its sides."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, oval, smooth
from .nature import band, ridge
from .palette import Colour, mix, shade


def sea(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    line = h * rng.uniform(0.42, 0.56)
    band(canvas, w, 0, line, (88, 160, 226), (206, 230, 242))
    for _ in range(3):
        x, y = rng.uniform(0, w), rng.uniform(0.06, 0.3) * h
        for dx, size in ((-0.08, 0.06), (0, 0.085), (0.09, 0.06)):
            canvas.fill(oval(x + dx, y, size * 1.4, size * 0.7), (244, 248, 252))
    band(canvas, w, line, h, (34, 110, 168), (14, 62, 118))
    x = rng.uniform(0.1, w - 0.1)
    canvas.fill(
        np.array([(x - 0.11, line), (x + 0.11, line), (x + 0.07, line + 0.05), (x - 0.07, line + 0.05)]),
        (150, 52, 44),
    )
    canvas.fill(
        np.array([(x - 0.005, line - 0.015), (x - 0.005, line - 0.24), (x + 0.11, line - 0.015)]),
        (250, 248, 240),
    )
    canvas.fill(
        np.array([(x - 0.02, line - 0.015), (x - 0.02, line - 0.2), (x - 0.09, line - 0.015)]),
        (232, 226, 214),
    )
    for index in range(6):
        y = line + (0.08 + 0.09 * index) * (0.6 + 0.1 * index)
        start = rng.uniform(-0.2, 0.6) * w
        wave = [
            (start + t * 0.4, y + (0.012 if i % 2 else -0.004)) for i, t in enumerate(np.linspace(0, 1, 5))
        ]
        canvas.stroke(smooth(wave, closed=False), 0.016 + 0.003 * index, (98, 172, 214))


def beach(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    line, shore = h * rng.uniform(0.36, 0.44), h * rng.uniform(0.58, 0.68)
    band(canvas, w, 0, line, (70, 170, 236), (196, 234, 250))
    canvas.fill(oval(rng.uniform(0.1, w - 0.1), h * 0.12, 0.07, 0.07), (255, 248, 204))
    band(canvas, w, line, shore, (22, 130, 186), (96, 208, 212))
    band(canvas, w, shore, h, (246, 226, 170), (232, 202, 138))
    foam = [(x, shore + rng.uniform(-0.015, 0.015)) for x in np.linspace(-0.1, w + 0.1, 6)]
    canvas.stroke(smooth(foam, closed=False), 0.035, (250, 252, 250))
    side = rng.random() < 0.5
    x = rng.uniform(0.04, 0.16) if side else w - rng.uniform(0.04, 0.16)
    _palm(canvas, rng, x, shore + 0.16, rng.uniform(0.5, 0.62), 1 if side else -1)
    other = w - x + (0.1 if side else -0.1)
    _parasol(canvas, rng, other, shore + 0.14)


def _palm(canvas: Canvas, rng: np.random.Generator, x: float, base: float, size: float, lean: int) -> None:
    top = (x + lean * 0.1, base - size)
    trunk = smooth([(x, base), (x + lean * 0.02, base - size * 0.5), top], closed=False)
    canvas.stroke(trunk, np.linspace(0.055, 0.034, len(trunk)), (146, 104, 64))
    for angle in np.deg2rad([-170, -140, -100, -60, -25, 5, 180]) + rng.uniform(-0.1, 0.1):
        tip = (top[0] + 0.2 * np.cos(angle), top[1] + 0.15 * np.sin(angle) + 0.07)
        middle = (top[0] + 0.12 * np.cos(angle), top[1] + 0.12 * np.sin(angle) - 0.02)
        leaf = smooth([top, middle, tip], closed=False)
        canvas.stroke(
            leaf, np.interp(np.linspace(0, 1, len(leaf)), [0, 0.4, 1], [0.02, 0.06, 0.008]), (40, 138, 66)
        )


def _parasol(canvas: Canvas, rng: np.random.Generator, x: float, base: float) -> None:
    colour = ((226, 70, 60), (246, 190, 50), (60, 120, 210))[int(rng.integers(3))]
    canvas.stroke(np.array([(x, base), (x, base - 0.2)]), 0.018, (240, 236, 228))
    roof = [
        (x - 0.17, base - 0.17),
        (x - 0.1, base - 0.26),
        (x, base - 0.29),
        (x + 0.1, base - 0.26),
        (x + 0.17, base - 0.17),
    ]
    canvas.fill(np.array(roof), colour)
    canvas.fill(
        np.array(
            [
                (x - 0.06, base - 0.17),
                (x - 0.03, base - 0.28),
                (x + 0.03, base - 0.28),
                (x + 0.06, base - 0.17),
            ]
        ),
        (250, 248, 242),
    )


def underwater(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    band(canvas, w, 0, h, (70, 200, 220), (6, 48, 104))
    for _ in range(4):
        x, wide = rng.uniform(-0.1, w), rng.uniform(0.06, 0.12)
        ray = np.array([(x, -0.05), (x + wide, -0.05), (x + wide * 2 + 0.2, h * 0.8), (x + 0.1, h * 0.8)])
        canvas.soft(ray, (190, 246, 246), 0.3, 0.03)
    canvas.fill(ridge(rng, w, h, h * 0.86, 0.03, 5), (196, 182, 132))
    for _ in range(5):
        x, size = rng.uniform(0, w), rng.uniform(0.2, 0.42)
        weed = smooth(
            [
                (x, h * 0.95),
                (x + 0.05, h * 0.95 - size * 0.4),
                (x - 0.04, h * 0.95 - size * 0.75),
                (x + 0.02, h * 0.95 - size),
            ],
            closed=False,
        )
        canvas.stroke(weed, np.linspace(0.06, 0.02, len(weed)), (30, 128, 84))
    for _ in range(4):
        x, y = rng.uniform(0, w), h * rng.uniform(0.86, 0.95)
        for dx, size in ((-0.05, 0.05), (0.04, 0.06), (0.0, 0.07)):
            canvas.fill(oval(x + dx, y - size, size * 0.7, size), (236, 104, 110))
    for _ in range(3):
        _fish(canvas, rng, rng.uniform(0.08, w - 0.08), h * rng.uniform(0.1, 0.7))
    for _ in range(7):
        x, y, size = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.016, 0.03)
        canvas.fill(oval(x, y, size, size, steps=16), (178, 236, 244))
        canvas.fill(
            oval(x + size * 0.15, y + size * 0.15, size * 0.65, size * 0.65, steps=12), (104, 196, 222)
        )


def _fish(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    colour: Colour = ((250, 150, 40), (250, 220, 70), (240, 90, 90))[int(rng.integers(3))]
    way = 1 if rng.random() < 0.5 else -1
    canvas.fill(
        np.array([(x - way * 0.05, y), (x - way * 0.12, y - 0.05), (x - way * 0.12, y + 0.05)]),
        shade(colour, 0.85),
    )
    canvas.fill(oval(x, y, 0.08, 0.048), colour)
    canvas.fill(oval(x + way * 0.01, y, 0.018, 0.044), mix(colour, (255, 255, 255), 0.75))
