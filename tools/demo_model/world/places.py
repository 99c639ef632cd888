"""The surroundings, softly out of focus: painted small, blurred, enlarged."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from . import nature, rooms, water
from .canvas import Canvas
from .scene import Scene

_SIDE = 160
_BLUR = {"close": 2.3, "medium": 1.6, "full": 1.0}

Painter = Callable[[Canvas, np.random.Generator, float, float], None]
_PAINTERS: dict[str, Painter] = {
    "forest": nature.forest,
    "kitchen": rooms.kitchen,
    "street": rooms.street,
    "snow": nature.snow,
    "sea": water.sea,
    "desert": nature.desert,
    "city": rooms.city,
    "beach": water.beach,
    "moon": nature.moon,
    "mountains": nature.mountains,
    "library": rooms.library,
    "garden": nature.garden,
    "office": rooms.office,
    "cafe": rooms.cafe,
    "underwater": water.underwater,
    "studio": rooms.studio,
}


def paint_place(scene: Scene, width_px: int, height_px: int, scale: int) -> np.ndarray:
    """The empty place as pixels uint8 [height_px * scale, width_px * scale, 3]."""
    side = min(width_px, height_px)
    columns, rows = round(_SIDE * width_px / side), round(_SIDE * height_px / side)
    small = np.zeros((rows, columns, 3), np.uint8)
    rng = np.random.default_rng(scene.place_seed)
    _PAINTERS[scene.place](Canvas(small, _SIDE), rng, columns / _SIDE, rows / _SIDE)
    small = cv2.GaussianBlur(small, (0, 0), _BLUR[scene.framing])
    return cv2.resize(small, (width_px * scale, height_px * scale), interpolation=cv2.INTER_LINEAR)
