"""Measures of a generated picture against its control map: edges near the map's, body points near the skeleton's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from dreamgui.data.faces.body import detect_bodies

WITHIN_PX = 2
"""An edge counts as followed up to this distance."""
WITHIN_WIDTH = 0.06
"""A body point counts as followed up to this share of the picture's width."""
SEEN = 0.5
"""Least visibility of a point that was found."""

Figures = dict[str, float | None]


def edge_recall(wanted: Image.Image, found: Image.Image, within_px: float = WITHIN_PX) -> float | None:
    """Return the share of a map's edge pixels that have an edge of the picture within a distance.

    Args:
        wanted: the map, light edges on black.
        found: edges of the generated picture, of the same size.
        within_px: the distance in pixels.

    Returns:
        0 to 1; None where the map has no edges.

    Raises:
        ValueError: the sizes differ.
    """
    if wanted.size != found.size:
        raise ValueError(f"a map of {wanted.size} and edges of {found.size}")
    edges, seen = (np.asarray(each.convert("L")) > 127 for each in (wanted, found))
    if not edges.any():
        return None
    if not seen.any():
        return 0.0
    distance = cv2.distanceTransform((~seen).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[edges] <= within_px + 1e-4).mean())


def pose_figures(wanted: Sequence[np.ndarray], found: Sequence[np.ndarray], width_px: int) -> Figures:
    """Return figures of the body points of a picture against those of its map.

    Each wanted person is held against the found one that is nearest and not taken yet.

    Args:
        wanted: people [18, 3] of x, y in pixels and visibility; points below :data:`SEEN` don't count.
        found: people of the generated picture.
        width_px: width of both.

    Returns:
        ``pose_within``: share of the wanted points that are found within 6 % of the width. ``pose_distance``: mean
        distance of the found points as a share of the width; None where none is found. Both None where no point is
        wanted.
    """
    counted = sum(int((person[:, 2] >= SEEN).sum()) for person in wanted)
    if not counted:
        return {"pose_within": None, "pose_distance": None}
    left = list(found)
    distances: list[float] = []
    for person in wanted:
        if not left:
            break
        nearest = min(range(len(left)), key=lambda number: _mean(_distances(person, left[number])))
        distances += _distances(person, left.pop(nearest))
    shares = [distance / width_px for distance in distances]
    within = sum(share <= WITHIN_WIDTH for share in shares) / counted
    return {"pose_within": within, "pose_distance": _mean(shares) if shares else None}


def _distances(wanted: np.ndarray, found: np.ndarray) -> list[float]:
    both = (wanted[:, 2] >= SEEN) & (found[:, 2] >= SEEN)
    return [float(each) for each in np.linalg.norm(wanted[both, :2] - found[both, :2], axis=1)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("inf")


@dataclass(frozen=True)
class Followed:
    """A control map to hold pictures against.

    Attributes:
        control_map: the map at the size of the pictures.
        edges: gives the edges of a picture; None where edges aren't followed.
        people: the skeletons' points in pixels; empty where they aren't known.
    """

    control_map: Image.Image
    edges: Callable[[Image.Image], Image.Image] | None = None
    people: tuple[np.ndarray, ...] = ()

    def figures(self, picture: Image.Image) -> Figures:
        """Return ``edge_recall`` for edges, ``pose_within`` and ``pose_distance`` for a pose, of a picture."""
        found: Figures = {}
        if self.edges is not None:
            found["edge_recall"] = edge_recall(self.control_map, self.edges(picture))
        if self.people:
            found |= pose_figures(self.people, detect_bodies(picture), picture.width)
        return found
