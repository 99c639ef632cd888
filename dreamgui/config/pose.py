"""Body points that a user sets: people as JSON, each with OpenPose's 18 points."""

from __future__ import annotations

import json
import math
from typing import Annotated

from pydantic import AfterValidator

POINTS = 18
MOST_PEOPLE = 10
Point = tuple[float, float]


def pose_people(text: str) -> list[list[Point | None]]:
    """Return the people of a pose's JSON, or nothing for a blank board ("[]").

    Args:
        text: a list of people, each a list of 18 points in OpenPose's order: [x, y] as shares of the map's width and
            height from its upper left corner, or null where a point isn't drawn.

    Raises:
        ValueError: it isn't such a text.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ValueError(f"The pose isn't JSON: {str(error)[:80]}") from error
    if not isinstance(given, list) or len(given) > MOST_PEOPLE:
        raise ValueError(f"The pose isn't a list of at most {MOST_PEOPLE} people")
    return [_person(number, person) for number, person in enumerate(given, 1)]


def _person(number: int, person: object) -> list[Point | None]:
    if not isinstance(person, list) or len(person) != POINTS:
        raise ValueError(f"Person {number} of the pose needs {POINTS} points")
    return [_point(number, point) for point in person]


def _point(number: int, point: object) -> Point | None:
    if point is None:
        return None
    if not isinstance(point, list) or len(point) != 2:
        raise ValueError(f"A point of person {number} isn't [x, y] or null")
    values = [
        float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan
        for value in point
    ]
    if not all(-1 <= value <= 2 for value in values):
        raise ValueError(f"A point of person {number} isn't two shares of the map's sides")
    return values[0], values[1]


def _checked(text: str) -> str:
    if text.strip():
        pose_people(text)
    return text.strip()


PoseText = Annotated[str, AfterValidator(_checked)]
