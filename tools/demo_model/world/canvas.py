"""Painting with supersampled polygons: curves, strokes, clipped layers, soft shadows, gradients.

Positions are in final picture px (x to the right,
    y down); the canvas holds `scale` times as many pixels a side and
is averaged down at the end, which gives the smooth edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import cv2
import numpy as np

from .palette import Colour

_SHIFT_BITS = 4


@lru_cache(maxsize=64)
def _circle(steps: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@lru_cache(maxsize=256)
def _curve_matrix(count: int, closed: bool, steps: int) -> np.ndarray:
    """Matrix [samples, count] that turns control points into a centripetal-free (uniform) Catmull-Rom
    curve."""
    spans = count if closed else count - 1
    matrix = np.zeros((spans * steps + (not closed), count))
    for row in range(len(matrix)):
        span = min(row // steps, spans - 1)
        t = (row - span * steps) / steps
        weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
        for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
            index = span + offset
            index = index % count if closed else min(max(index, 0), count - 1)
            matrix[row, index] += weight / 2
    return matrix


def smooth(points: np.ndarray | list[tuple[float, float]], closed: bool = True, steps: int = 6) -> np.ndarray:
    """Samples [n, 2] of the Catmull-Rom curve through the points [count, 2]."""
    corners = np.asarray(points, dtype=np.float64)
    return _curve_matrix(len(corners), closed, steps) @ corners


def oval(
    x: float, y: float, radius_x: float, radius_y: float, angle: float = 0.0, steps: int = 28
) -> np.ndarray:
    """Outline [steps, 2] of an ellipse, turned by the angle (radians)."""
    outline = _circle(steps) * (radius_x, radius_y)
    if angle:
        c, s = np.cos(angle), np.sin(angle)
        outline = outline @ np.array([[c, s], [-s, c]])
    return outline + np.array((x, y))


def ribbon(line: np.ndarray, widths: float | np.ndarray) -> np.ndarray:
    """Outline of a stroke along the line [n, 2] with full width(s) [n] or one number; ends cut square."""
    step = np.gradient(line, axis=0)
    length = np.maximum(np.hypot(step[:, 0], step[:, 1]), 1e-6)
    half = np.broadcast_to(np.asarray(widths, dtype=np.float64) / 2, length.shape)
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / length[:, None] * half[:, None]
    return np.concatenate([line + normal, (line - normal)[::-1]])


class Canvas:
    """A picture under the brush: pixels uint8 [rows, columns, 3], `scale` pixels to a picture px."""

    def __init__(self, pixels: np.ndarray, scale: float, origin_px: tuple[float, float] = (0.0, 0.0)) -> None:
        self.pixels = pixels
        self.scale = scale
        self.origin_px = origin_px

    def _grid(self, points: np.ndarray) -> np.ndarray:
        scaled = (np.asarray(points) - self.origin_px) * self.scale - 0.5
        return np.round(scaled * (1 << _SHIFT_BITS)).astype(np.int32)

    def fill(self, outline: np.ndarray, colour: Colour) -> None:
        cv2.fillPoly(self.pixels, [self._grid(outline)], colour, cv2.LINE_8, _SHIFT_BITS)

    def stroke(self, line: np.ndarray, widths: float | np.ndarray, colour: Colour) -> None:
        """A line with round ends; widths in picture px."""
        self.fill(ribbon(line, widths), colour)
        edges = np.broadcast_to(np.asarray(widths, dtype=np.float64), len(line))
        for end in (0, -1):
            if edges[end] * self.scale > 1.5:
                radius = edges[end] / 2
                self.fill(oval(line[end][0], line[end][1], radius, radius, steps=12), colour)

    def fill_ring(self, outline: np.ndarray, width_px: float, colour: Colour) -> None:
        """The closed outline itself as a line of that width."""
        centre = outline.mean(axis=0)
        radius = np.maximum(np.hypot(*(outline - centre).T), 1e-6)[:, None]
        grow = (outline - centre) / radius * width_px / 2
        outer, inner = outline + grow, outline - grow
        cv2.fillPoly(self.pixels, [self._grid(outer), self._grid(inner)], colour, cv2.LINE_8, _SHIFT_BITS)

    @contextmanager
    def inside(
        self, outline: np.ndarray, colour: Colour | None = None, more: tuple[np.ndarray, ...] = ()
    ) -> Iterator[Canvas]:
        """A canvas on which whatever is drawn stays inside the outline (or one of `more` outlines); it starts
        filled with the colour, or with the picture as it is."""
        rows, columns = self.pixels.shape[:2]
        parts = [self._grid(part) for part in (outline, *more)]
        grid = np.concatenate(parts)
        low = np.maximum(grid.min(axis=0) >> _SHIFT_BITS, 0)
        high = np.minimum((grid.max(axis=0) >> _SHIFT_BITS) + 2, (columns, rows))
        if (low >= high).any():
            yield Canvas(np.zeros((1, 1, 3), np.uint8), self.scale, (-1e4, -1e4))
            return
        (x0, y0), (x1, y1) = low, high
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for part in parts:
            cv2.fillPoly(mask, [part - (low << _SHIFT_BITS).astype(np.int32)], 255, cv2.LINE_8, _SHIFT_BITS)
        window = self.pixels[y0:y1, x0:x1]
        if colour is None:
            layer = window.copy()
        else:
            layer = np.empty_like(window)
            layer[:] = colour
        origin = (self.origin_px[0] + x0 / self.scale, self.origin_px[1] + y0 / self.scale)
        yield Canvas(layer, self.scale, origin)
        cv2.copyTo(layer, mask, window)

    def soft(self, outline: np.ndarray, colour: Colour, strength: float, blur_px: float) -> None:
        """A shape with blurred edges laid over the picture; strength 0 to 1."""
        coarse = min(1.0, 2.0 / (blur_px * self.scale))
        grid = (np.asarray(outline) - self.origin_px) * self.scale
        margin = 2.2 * blur_px * self.scale
        low = np.maximum(np.floor(grid.min(axis=0) - margin), 0).astype(int)
        high = np.minimum(np.ceil(grid.max(axis=0) + margin), self.pixels.shape[1::-1]).astype(int)
        if (high - low < 2).any():
            return
        size = np.maximum(np.round((high - low) * coarse).astype(int), 2)
        mask = np.zeros((size[1], size[0]), np.float32)
        local = (grid - low) * (size / (high - low)) - 0.5
        fixed = np.round(local * (1 << _SHIFT_BITS)).astype(np.int32)
        cv2.fillPoly(mask, [fixed], strength, cv2.LINE_8, _SHIFT_BITS)
        sigma = blur_px * self.scale * coarse
        mask = cv2.GaussianBlur(mask, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        self._blend(mask, low, high, colour)

    def _blend(self, mask: np.ndarray, low: np.ndarray, high: np.ndarray, colour: Colour) -> None:
        (x0, y0), (x1, y1) = low, high
        window = self.pixels[y0:y1, x0:x1]
        weight = cv2.resize(mask, (int(x1 - x0), int(y1 - y0)), interpolation=cv2.INTER_LINEAR)
        paint = np.empty_like(window)
        paint[:] = colour
        window[:] = cv2.blendLinear(paint, window, weight, 1 - weight)

    def wash(self, grid: np.ndarray | list[list[Colour]]) -> None:
        """Fills the whole canvas with a smooth gradient between the colours [rows, columns, 3] of a small
        grid."""
        rows, columns = self.pixels.shape[:2]
        small = np.asarray(grid, dtype=np.uint8)
        self.pixels[:] = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR)

    def tile(self, picture: np.ndarray, corners_px: np.ndarray) -> None:
        """Covers the canvas with a small picture uint8 [n, m, 3] whose corners (top left, top right,
        bottom left) lie at the given places [3, 2]; beyond them its edge goes on."""
        rows, columns = picture.shape[:2]
        source = np.array([[0, 0], [columns - 1, 0], [0, rows - 1]], np.float32)
        target = ((corners_px - self.origin_px) * self.scale - 0.5).astype(np.float32)
        size = (self.pixels.shape[1], self.pixels.shape[0])
        matrix = cv2.getAffineTransform(source, target)
        self.pixels[:] = cv2.warpAffine(
            picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
