"""Body points read back from a drawn OpenPose skeleton.

Each point is a disc of its own full colour, each limb a bar of 0.6 times a colour (Cao et al. 2019,
https://arxiv.org/abs/1812.08008, as controlnet_aux draws it). Discs are found by colour, people by the limbs between
them, and the reading is held against the drawing.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from dreamgui.diffusion.control.control_maps import skeletons

POINTS = 18
_LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
_COLOURS = np.array([np.multiply(colorsys.hsv_to_rgb(n / POINTS, 1, 1), 255) for n in range(POINTS)])
_LIMB_LEVEL = 0.6
_NEAR = 48
"""Levels by which a channel may differ: neighbouring colours are 85 apart, JPEG blurs them."""
_CORE_PX = 1.5
_LIMB_SHARE = 0.5
_SAMPLES = 24
_DARK = 48
_BESIDE = 0.03
_EXPLAINED = 0.95


@dataclass(frozen=True)
class _Disc:
    point: int
    x: float
    y: float


def drawn_points(drawing: Image.Image) -> tuple[np.ndarray, ...]:
    """Return the people of a drawn skeleton, [18, 3] each: x and y in pixels of the drawing, and 1 for each point seen.

    Returns:
        None at all where redrawing what was read doesn't give the drawing: its colours, its bars or what else is on it
        are of another program.
    """
    pixels = np.asarray(drawing.convert("RGB")).astype(np.int16)
    discs = [disc for point in range(POINTS) for disc in _discs(pixels, point)]
    people = tuple(_as_points(group) for group in _groups(pixels, discs) if len(group) > 1)
    return people if people and _explains(people, drawing) else ()


def _discs(pixels: np.ndarray, point: int) -> Iterator[_Disc]:
    """Discs of a point's colour. Edges between two other colours may have it too, but are thin."""
    alike = (np.abs(pixels - _COLOURS[point]).max(axis=2) <= _NEAR).astype(np.uint8)
    count, labels, _, centres = cv2.connectedComponentsWithStats(alike)
    inner = cv2.distanceTransform(cv2.copyMakeBorder(alike, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 3)
    depth = np.zeros(count)
    np.maximum.at(depth, labels.ravel(), inner[1:-1, 1:-1].ravel())
    for number in range(1, count):
        if depth[number] >= _CORE_PX:
            # A disc of 4 pixels' radius covers the pixels on both sides of its middle one.
            yield _Disc(point, float(centres[number][0]) + 0.5, float(centres[number][1]) + 0.5)


def _groups(pixels: np.ndarray, discs: Sequence[_Disc]) -> list[list[_Disc]]:
    """Discs by person: those that limbs join, the surest limbs first. A person has one disc of each point."""
    groups = {disc: [disc] for disc in discs}
    for share, one, other in sorted(_joined(pixels, discs), key=lambda limb: -limb[0]):
        first, second = groups[one], groups[other]
        apart = {disc.point for disc in first}.isdisjoint(disc.point for disc in second)
        if share < _LIMB_SHARE or first is second or not apart:
            continue
        first += second
        groups |= dict.fromkeys(second, first)
    return list({id(group): group for group in groups.values()}.values())


def _joined(pixels: np.ndarray, discs: Sequence[_Disc]) -> Iterator[tuple[float, _Disc, _Disc]]:
    """The share of a limb's colour on the line between each two discs that could be its ends."""
    for number, (a, b) in enumerate(_LIMBS):
        colour = _COLOURS[number] * _LIMB_LEVEL
        for one in (disc for disc in discs if disc.point == a):
            for other in (disc for disc in discs if disc.point == b):
                way = np.linspace(0, 1, _SAMPLES)[:, None]
                places = ((1 - way) * (one.x, one.y) + way * (other.x, other.y)).astype(int)
                x, y = places.clip(0, (pixels.shape[1] - 1, pixels.shape[0] - 1)).T
                alike = np.abs(pixels[y, x] - colour).max(axis=1) <= _NEAR
                discs_too = pixels[y, x].max(axis=1) > 255 * _LIMB_LEVEL + _NEAR
                yield float(alike.sum() / max(1, (~discs_too).sum())), one, other


def _as_points(group: Sequence[_Disc]) -> np.ndarray:
    person = np.zeros((POINTS, 3), np.float32)
    for disc in group:
        person[disc.point] = disc.x, disc.y, 1
    return person


def _explains(people: Sequence[np.ndarray], drawing: Image.Image) -> bool:
    """Return whether each lit pixel has one of the redrawn skeletons beside it, and the other way round."""
    lit, redrawn = (
        np.asarray(each.convert("RGB")).max(axis=2) > _DARK
        for each in (drawing, skeletons(people, drawing.size))
    )
    reach = _BESIDE * min(drawing.size)
    shares = []
    for pixels, others in ((lit, redrawn), (redrawn, lit)):
        distance = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, 3)
        shares.append((distance[pixels] <= reach).mean())
    return min(shares) >= _EXPLAINED
