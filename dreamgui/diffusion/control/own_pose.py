"""Skeletons from points that a user set, and points of found people for the editor."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from PIL import Image

from dreamgui.config.pose import pose_people
from dreamgui.data.faces.body import LEAST_POINTS
from dreamgui.diffusion.control.control_maps import skeletons, visible_points
from dreamgui.errors import BadInput

BLANK = "The pose is a blank board: the ControlNet sees an empty map."


def own_pose(text: str, size_px: int) -> tuple[Image.Image, tuple[np.ndarray, ...]]:
    """Return the skeletons of a pose's JSON on a black square, and their points [18, 3] in pixels.

    Args:
        text: as :func:`dreamgui.config.pose.pose_people` reads it.
        size_px: side of the map.

    Raises:
        BadInput: there are people, but none of their points lies inside.
    """
    people = tuple(
        np.array([[*np.multiply(point, size_px), 1.0] if point else [0.0, 0.0, 0.0] for point in person])
        for person in pose_people(text)
    )
    size = (size_px, size_px)
    if people and not any(visible_points(person, size).any() for person in people):
        raise BadInput(
            "The pose has people, but none of their points lies inside the map.",
            "Add points, or take a blank board.",
        )
    return skeletons(people, size), people


def pose_text(people: Sequence[np.ndarray], size: tuple[int, int]) -> str:
    """Return found people as a pose's JSON, without the points that aren't drawn.

    Args:
        people: [18, 3] each: x and y in pixels, visibility.
        size: width and height of the map in pixels.
    """
    given = []
    for person in people:
        seen = visible_points(person, size)
        shares = person[:, :2] / size
        given.append(
            [
                [round(float(x), 4), round(float(y), 4)] if drawn else None
                for (x, y), drawn in zip(shares, seen, strict=True)
            ]
        )
    return json.dumps(given)


def measurable(people: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return the people with enough points to be found again in a picture."""
    return tuple(person for person in people if (person[:, 2] > 0).sum() >= LEAST_POINTS)
