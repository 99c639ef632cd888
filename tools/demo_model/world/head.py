"""The head as a solid: where a point of the face lands in the picture, and the shaded skin."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, oval, smooth
from .identity import Identity
from .palette import Colour, mix, shade
from .scene import Scene

EYE_LINE = 0.04
HIDDEN_EAR_YAW = 0.22
_DEPTH = 0.72
_TILE = (80, 70)
_TILE_X, _TILE_Y = (-1.15, 1.15), (-1.15, 1.35)


class Head:
    """Places points of the face [n, 2] (x to the picture's right, y down, half a head's height is 1,
    origin between the eyes' line and the middle) into the picture, as a turned, tilted and nodding
    ellipsoid."""

    def __init__(self, who: Identity, scene: Scene, centre_px: tuple[float, float], unit_px: float) -> None:
        self.who = who
        self.scene = scene
        self.centre_px = np.asarray(centre_px)
        self.unit_px = unit_px
        self._sin, self._cos = np.sin(scene.yaw), np.cos(scene.yaw)
        c, s = np.cos(scene.roll), np.sin(scene.roll)
        self._tilt = np.array([[c, s], [-s, c]]) * unit_px

    def depth(self, points: np.ndarray) -> np.ndarray:
        """How far [n] the face stands out towards the viewer at the points."""
        bend = (points[:, 0] / self.who.face_width) ** 2 + (points[:, 1] / 1.3) ** 2
        return _DEPTH * np.sqrt(np.maximum(0.0, 1 - bend))

    def turn(self, points: np.ndarray | list[tuple[float, float]], lift: float = 0.0) -> np.ndarray:
        """Face points after turning and nodding, before the tilt; lift raises them off the skin."""
        flat = np.asarray(points, dtype=np.float64)
        depth = self.depth(flat) + lift
        x = flat[:, 0] * self._cos + depth * self._sin
        return np.stack([x, flat[:, 1] + depth * self.scene.nod], axis=1)

    def place(self, turned: np.ndarray) -> np.ndarray:
        """Turned head coordinates to picture px."""
        return turned @ self._tilt + self.centre_px

    def at(self, points: np.ndarray | list[tuple[float, float]], lift: float = 0.0) -> np.ndarray:
        """Picture px [n, 2] of points on the face."""
        return self.place(self.turn(points, lift))

    def rim(self, points: np.ndarray | list[tuple[float, float]], depth: float = 0.0) -> np.ndarray:
        """Picture px [n, 2] of points on the outline or behind it (negative depth), which keep their
        width."""
        flat = np.asarray(points, dtype=np.float64)
        return self.place(flat + depth * np.array((self._sin, self.scene.nod)))

    def outline(self) -> np.ndarray:
        """The face's outline in picture px."""
        who = self.who
        wide, jaw, chin, low = who.face_width, who.jaw_width, who.chin_width, who.chin_length
        half = [
            (wide * 0.6, -0.88),
            (wide * 0.96, -0.42),
            (wide, 0.0),
            (wide * 0.975, 0.26),
            (jaw, 0.6 * low),
            ((jaw + chin) * (0.5 if who.gender == "woman" else 0.53), 0.84 * low),
            (chin, 0.965 * low),
        ]
        points = np.array([(0.0, -1.0), *half, (0.0, low), *[(-x, y) for x, y in reversed(half)]])
        return self.place(smooth(self._edge(points), steps=5))

    def _edge(self, points: np.ndarray) -> np.ndarray:
        depth = 0.8 * self.depth(points)
        shift = np.stack([depth * self._sin, depth * self.scene.nod], axis=1)
        return points + shift


def paint_skin(canvas: Canvas, head: Head) -> None:
    """The face with its soft shading: light from one side, sockets, nose, cheeks, lips' and chin's
    shadows."""
    with canvas.inside(head.outline()) as skin:
        (x0, x1), (y0, y1) = _TILE_X, _TILE_Y
        corners = head.place(np.array([(x0, y0), (x1, y0), (x0, y1)]))
        skin.tile(_skin_tile(head), corners)


class _Tile:
    """A small picture of the turned head on which soft blots are laid."""

    def __init__(self, colour: Colour) -> None:
        rows, columns = _TILE
        self.pixels = np.empty((rows, columns, 3), np.float32)
        self.pixels[:] = colour
        self._x = np.linspace(*_TILE_X, columns, dtype=np.float32)
        self._y = np.linspace(*_TILE_Y, rows, dtype=np.float32)

    def blot(self, colour: Colour, strength: float, place: np.ndarray, radius: tuple[float, float]) -> None:
        across = np.exp(-(((self._x - place[0]) / radius[0]) ** 2))
        down = strength * np.exp(-(((self._y - place[1]) / radius[1]) ** 2))
        weight = (down[:, None] * across)[:, :, None]
        self.pixels += weight * (np.array(colour, np.float32) - self.pixels)


def _skin_tile(head: Head) -> np.ndarray:
    who, side = head.who, head.scene.light_side
    tile = _Tile(who.skin)
    dark, light = shade(mix(who.skin, (176, 60, 44), 0.22), 0.74), mix(who.skin, (255, 246, 226), 0.5)
    blush = mix(who.skin, (226, 70, 70), 0.55)
    spots = [
        (0.0, -0.5), (-who.eye_spacing, EYE_LINE - 0.05), (who.eye_spacing, EYE_LINE - 0.05),
        (-0.43, 0.38), (0.43, 0.38), (0.0, EYE_LINE + who.nose_length + 0.08), (0.0, who.mouth_height + 0.19),
        (0.0, who.chin_length - 0.1),
    ]  # fmt: skip
    brow, left_eye, right_eye, left_cheek, right_cheek, lip, below, chin = head.turn(spots)
    tile.blot(light, 0.35, brow, (0.4, 0.22))
    for eye in (left_eye, right_eye):
        tile.blot(dark, 0.42, eye, (0.22, 0.13))
    for cheek in (left_cheek, right_cheek):
        tile.blot(blush, 0.5 if who.gender == "woman" else 0.25, cheek, (0.2, 0.15))
        tile.blot(light, 0.25, cheek - (0, 0.12), (0.16, 0.08))
    tile.blot(dark, 0.3, lip, (0.12, 0.07))
    tile.blot(dark, 0.4, below, (0.18, 0.05))
    tile.blot(light, 0.25, chin, (0.13, 0.08))
    _nose_blots(tile, head, dark, light)
    for edge in (-1, 1):
        strength = 0.75 if edge == -side else 0.32 if side == 0 else 0.12
        tile.blot(dark, strength, np.array([edge * who.face_width * 1.12, 0.35]), (0.34, 0.9))
    tile.blot(dark, 0.45, np.array([0.0, -1.05]), (0.9, 0.34))
    return tile.pixels.clip(0, 255).astype(np.uint8)


def _nose_blots(tile: _Tile, head: Head, dark: Colour, light: Colour) -> None:
    who, side = head.who, head.scene.light_side
    middle = EYE_LINE + who.nose_length * 0.45
    bridge, tip = head.turn([(0.0, middle), (0.0, EYE_LINE + who.nose_length - 0.06)], lift=0.14)
    for edge in (-1, 1):
        strength = 0.55 if edge == -side else 0.3 if side == 0 else 0.1
        tile.blot(
            dark,
            strength,
            bridge + np.array((edge * (who.nose_bridge + 0.05), 0)),
            (0.06, who.nose_length * 0.5),
        )
        tile.blot(dark, strength, tip + np.array((edge * who.nose_width * 0.9, 0.02)), (0.06, 0.08))
    tile.blot(light, 0.55, bridge, (who.nose_bridge * 0.6, who.nose_length * 0.5))
    tile.blot(light, 0.5, tip - (0, 0.02), (who.nose_width * 0.42, 0.07))


def paint_ears(canvas: Canvas, head: Head) -> None:
    """Both ears, or the near one alone when the head is turned."""
    who = head.who
    for side in (-1, 1):
        if side * head.scene.yaw > HIDDEN_EAR_YAW:
            continue
        centre = head.rim([(side * (who.face_width + 0.03), 0.14)], depth=-0.12)[0]
        unit = head.unit_px
        lean = head.scene.roll + side * 0.15
        canvas.fill(oval(centre[0], centre[1], 0.11 * unit, 0.19 * unit, lean), shade(who.skin, 0.93))
        canvas.fill(oval(centre[0], centre[1], 0.055 * unit, 0.11 * unit, lean), shade(who.skin, 0.76))


def ear_lobes(head: Head) -> np.ndarray:
    """Picture px [2, 2] of the lobes at the picture's left and right."""
    x = head.who.face_width + 0.04
    return head.rim([(-x, 0.34), (x, 0.34)], depth=-0.1)
