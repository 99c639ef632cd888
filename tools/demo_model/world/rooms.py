"""Places with walls: rooms and streets. Lengths are shares of the picture's shorter side; w and h are its
sides."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, oval, smooth
from .nature import band, crown
from .palette import Colour, mix, shade


def box(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
    canvas.fill(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), colour)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


def kitchen(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    wood = _pick(rng, ((176, 122, 76), (128, 164, 150), (196, 84, 70)))
    band(canvas, w, 0, h, (250, 240, 218), (236, 220, 190))
    top = h * 0.6
    start = rng.uniform(-0.3, 0)
    for index in range(6):
        x = start + index * 0.29
        if index != 3:
            box(canvas, x, -0.02, x + 0.27, 0.22 * h, wood)
            box(canvas, x + 0.03, -0.02, x + 0.24, 0.19 * h, shade(wood, 1.16))
            canvas.fill(oval(x + 0.21, 0.16 * h, 0.014, 0.014, steps=10), (70, 60, 56))
    x = start + 3 * 0.29
    box(canvas, x, 0.08 * h, x + 0.27, 0.42 * h, (250, 250, 248))
    box(canvas, x + 0.025, 0.1 * h, x + 0.245, 0.4 * h, (158, 212, 244))
    box(canvas, x + 0.125, 0.1 * h, x + 0.145, 0.4 * h, (250, 250, 248))
    for tile in range(9):
        box(canvas, tile * 0.18 - 0.05, 0.42 * h, tile * 0.18 + 0.11, 0.5 * h, (214, 232, 232))
    _pots(canvas, rng, w, top)
    box(canvas, 0, top, w, top + 0.045, (92, 84, 84))
    box(canvas, 0, top + 0.045, w, h, shade(wood, 0.92))
    for index in range(5):
        left = start + index * 0.36
        box(canvas, left, top + 0.08, left + 0.32, h - 0.05, shade(wood, 1.08))


def _pots(canvas: Canvas, rng: np.random.Generator, w: float, top: float) -> None:
    x = rng.uniform(0.02, 0.12)
    box(canvas, x, top - 0.11, x + 0.17, top, (196, 52, 48))
    box(canvas, x - 0.03, top - 0.09, x + 0.2, top - 0.07, (140, 36, 34))
    canvas.fill(oval(x + 0.085, top - 0.125, 0.02, 0.02, steps=10), (60, 40, 40))
    x = w - rng.uniform(0.1, 0.2)
    canvas.fill(oval(x, top - 0.07, 0.055, 0.07), (236, 236, 240))
    box(canvas, x - 0.16, top - 0.1, x - 0.09, top, (240, 176, 60))
    box(canvas, x - 0.19, top - 0.2, x - 0.165, top, (96, 140, 80))


def _facade(
    canvas: Canvas, rng: np.random.Generator, x: float, wide: float, top: float, base: float, wall: Colour
) -> None:
    box(canvas, x, top, x + wide, base, wall)
    columns = 2
    step = wide / columns
    y = top + 0.05
    while y < base - 0.16:
        for column in range(columns):
            left = x + column * step + step * 0.26
            box(canvas, left, y, left + step * 0.48, y + 0.09, mix(wall, (226, 240, 250), 0.72))
        y += 0.15
    awning = _pick(rng, ((198, 54, 52), (52, 118, 84), (228, 170, 50), (52, 84, 160)))
    box(canvas, x + 0.02, base - 0.12, x + wide - 0.02, base, (72, 66, 70))
    box(canvas, x + 0.01, base - 0.15, x + wide - 0.01, base - 0.09, awning)


def street(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    base = h * rng.uniform(0.62, 0.7)
    band(canvas, w, 0, base, (158, 200, 234), (232, 240, 244))
    walls: tuple[Colour, ...] = (
        (206, 122, 92),
        (232, 208, 164),
        (170, 184, 196),
        (214, 168, 120),
        (188, 146, 150),
    )
    x = rng.uniform(-0.25, 0)
    while x < w:
        wide = rng.uniform(0.26, 0.36)
        _facade(canvas, rng, x, wide, h * rng.uniform(-0.05, 0.16), base, _pick(rng, walls))
        x += wide + 0.01
    box(canvas, 0, base, w, base + 0.07, (196, 192, 186))
    box(canvas, 0, base + 0.07, w, h, (98, 100, 106))
    start = rng.uniform(-0.2, 0.1)
    for index in range(5):
        left = start + index * 0.34
        box(canvas, left, base + 0.2, left + 0.18, base + 0.235, (236, 232, 214))
    x = rng.uniform(0.0, w - 0.3)
    _car(canvas, x, base + 0.12, _pick(rng, ((204, 48, 48), (52, 104, 190), (240, 196, 60), (240, 240, 240))))


def _car(canvas: Canvas, x: float, base: float, colour: Colour) -> None:
    cabin = [
        (x + 0.07, base - 0.09),
        (x + 0.12, base - 0.17),
        (x + 0.25, base - 0.17),
        (x + 0.31, base - 0.09),
    ]
    canvas.fill(np.array(cabin), shade(colour, 0.9))
    canvas.fill(
        np.array(
            [
                (x + 0.1, base - 0.095),
                (x + 0.135, base - 0.15),
                (x + 0.24, base - 0.15),
                (x + 0.28, base - 0.095),
            ]
        ),
        (186, 216, 232),
    )
    canvas.fill(
        smooth([(x, base - 0.08), (x + 0.36, base - 0.09), (x + 0.38, base - 0.01), (x, base - 0.01)]), colour
    )
    for wheel in (0.09, 0.29):
        canvas.fill(oval(x + wheel, base - 0.01, 0.042, 0.042, steps=16), (36, 36, 40))


def city(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    base = h * rng.uniform(0.7, 0.8)
    band(canvas, w, 0, base, (16, 18, 52), (92, 60, 120))
    canvas.fill(oval(rng.uniform(0.1, w - 0.1), 0.12 * h, 0.06, 0.06), (250, 244, 214))
    lights: tuple[Colour, ...] = ((255, 214, 110), (255, 236, 170), (130, 190, 250), (255, 160, 90))
    x = rng.uniform(-0.15, 0)
    while x < w:
        wide, top = rng.uniform(0.17, 0.27), h * rng.uniform(0.12, 0.45)
        box(canvas, x, top, x + wide, base, shade((40, 42, 78), rng.uniform(0.7, 1.2)))
        step = wide / 3
        y = top + 0.035
        while y < base - 0.06:
            for column in range(3):
                if rng.random() < 0.62:
                    left = x + column * step + step * 0.2
                    box(canvas, left, y, left + step * 0.58, y + 0.045, _pick(rng, lights))
            y += 0.085
        x += wide + 0.015
    band(canvas, w, base, h, (44, 40, 66), (26, 26, 40))
    for _ in range(9):
        glow = _pick(rng, ((255, 120, 90), (255, 220, 130), (120, 220, 255), (255, 130, 210)))
        size = rng.uniform(0.024, 0.044)
        canvas.fill(oval(rng.uniform(0, w), base + rng.uniform(-0.02, 0.14), size, size, steps=14), glow)


def library(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    wood = shade((116, 72, 42), rng.uniform(0.85, 1.1))
    box(canvas, 0, 0, w, h, shade(wood, 0.62))
    books: tuple[Colour, ...] = (
        (160, 44, 44),
        (44, 84, 140),
        (56, 116, 76),
        (206, 160, 70),
        (120, 60, 110),
        (222, 208, 180),
        (60, 60, 80),
    )
    rows = 4
    shelf = h / rows
    offset = rng.uniform(-0.06, 0.02)
    for row in range(rows + 1):
        base = offset + (row + 1) * shelf
        x = rng.uniform(-0.06, 0)
        while x < w:
            wide = rng.uniform(0.05, 0.085)
            tall = shelf * rng.uniform(0.66, 0.86)
            colour = shade(_pick(rng, books), rng.uniform(0.85, 1.1))
            box(canvas, x, base - tall, x + wide - 0.006, base, colour)
            box(
                canvas,
                x,
                base - tall * 0.8,
                x + wide - 0.006,
                base - tall * 0.66,
                mix(colour, (246, 222, 150), 0.55),
            )
            x += wide
        box(canvas, 0, base, w, base + 0.035, wood)
    for x in (rng.uniform(0.0, 0.2) * w, rng.uniform(0.75, 1.0) * w):
        box(canvas, x - 0.025, 0, x + 0.025, h, shade(wood, 1.12))


def office(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    band(canvas, w, 0, h, (226, 232, 238), (204, 212, 220))
    x, base = rng.uniform(0.0, 0.2), h * 0.64
    box(canvas, x, 0.06 * h, x + 0.42, 0.46 * h, (250, 252, 252))
    for index in range(6):
        y = 0.08 * h + index * 0.063 * h
        box(canvas, x + 0.02, y, x + 0.4, y + 0.036 * h, (170, 206, 236))
    board = w - rng.uniform(0.34, 0.42)
    box(canvas, board, 0.08 * h, board + 0.34, 0.36 * h, (120, 128, 138))
    box(canvas, board + 0.015, 0.095 * h, board + 0.325, 0.345 * h, (252, 252, 252))
    for index, colour in enumerate(((70, 130, 210), (230, 120, 60), (90, 170, 90))):
        left = board + 0.06 + index * 0.08
        box(canvas, left, (0.31 - 0.06 * (index + 1)) * h, left + 0.05, 0.32 * h, colour)
    box(canvas, 0, base, w, base + 0.05, (232, 220, 200))
    box(canvas, 0, base + 0.05, w, h, (150, 158, 168))
    for left in (rng.uniform(-0.05, 0.1), w - rng.uniform(0.26, 0.36)):
        box(canvas, left, base - 0.2, left + 0.27, base - 0.04, (44, 48, 56))
        box(canvas, left + 0.016, base - 0.186, left + 0.254, base - 0.056, (92, 160, 220))
        box(canvas, left + 0.11, base - 0.04, left + 0.16, base, (60, 64, 72))
    for left in (0.06, w - 0.4):
        box(canvas, left, base + 0.09, left + 0.34, h, (206, 190, 166))


def cafe(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    wall = _pick(rng, ((142, 78, 58), (92, 66, 58), (66, 92, 82)))
    band(canvas, w, 0, h, shade(wall, 0.9), shade(wall, 1.12))
    board = rng.uniform(0.02, w - 0.46)
    box(canvas, board, 0.12 * h, board + 0.42, 0.42 * h, (150, 104, 62))
    box(canvas, board + 0.02, 0.135 * h, board + 0.4, 0.405 * h, (40, 46, 44))
    for index in range(4):
        y = (0.175 + 0.055 * index) * h
        box(canvas, board + 0.05, y, board + rng.uniform(0.2, 0.36), y + 0.018, (222, 220, 206))
    for index in range(4):
        x = (index + 0.5) * w / 4 + rng.uniform(-0.04, 0.04)
        low = rng.uniform(0.1, 0.18) * h
        canvas.stroke(np.array([(x, -0.02), (x, low)]), 0.012, (34, 30, 30))
        canvas.soft(oval(x, low + 0.03, 0.1, 0.1), (255, 214, 130), 0.5, 0.035)
        canvas.fill(
            np.array(
                [
                    (x - 0.02, low - 0.02),
                    (x + 0.02, low - 0.02),
                    (x + 0.06, low + 0.03),
                    (x - 0.06, low + 0.03),
                ]
            ),
            (36, 32, 34),
        )
        canvas.fill(oval(x, low + 0.038, 0.038, 0.026), (255, 242, 190))
    counter = h * 0.64
    for index in range(6):
        x = index * w / 5.2 + rng.uniform(-0.02, 0.04)
        box(canvas, x, counter - 0.075, x + 0.075, counter, (246, 242, 234))
        canvas.stroke(oval(x + 0.085, counter - 0.04, 0.02, 0.024, steps=10), 0.012, (246, 242, 234))
    box(canvas, 0, counter, w, counter + 0.05, (208, 154, 92))
    band(canvas, w, counter + 0.05, h, (112, 72, 46), (84, 54, 38))
    crown(canvas, rng, w - rng.uniform(0.02, 0.08), counter - 0.1, 0.11, (70, 134, 66))


def studio(canvas: Canvas, rng: np.random.Generator, w: float, h: float) -> None:
    tones: tuple[Colour, ...] = (
        (150, 156, 166),
        (196, 180, 162),
        (120, 140, 168),
        (168, 140, 150),
        (130, 152, 138),
        (206, 206, 208),
    )
    colour = shade(_pick(rng, tones), rng.uniform(0.85, 1.1))
    edge = shade(colour, 0.72)
    rows = [
        [edge, mix(edge, colour, 0.6), edge],
        [mix(edge, colour, 0.6), shade(colour, 1.14), mix(edge, colour, 0.6)],
        [edge, mix(edge, colour, 0.5), edge],
    ]
    canvas.wash(rows)
