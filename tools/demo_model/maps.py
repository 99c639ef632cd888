"""Control maps of the drawn pictures: canny edges, and the OpenPose skeleton as controlnet_aux draws it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

POINT_JITTER_PX = 0.8
POINT_DROPPED = 0.02


@cache
def _openpose() -> tuple[Callable[..., np.ndarray], type[Any]]:
    """controlnet_aux's drawing and its Keypoint, without importing the package's other detectors.

    Its ``__init__`` imports them all and fails beside mediapipe 1.x; a bare package in its place does not.
    """
    spec = importlib.util.find_spec("controlnet_aux")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("controlnet_aux is missing: pip install controlnet-aux==0.0.10")
    if "controlnet_aux" not in sys.modules:
        package = ModuleType("controlnet_aux")
        package.__path__ = [str(Path(spec.origin).parent)]
        sys.modules["controlnet_aux"] = package
    from controlnet_aux.open_pose.body import Keypoint
    from controlnet_aux.open_pose.util import draw_bodypose

    return draw_bodypose, Keypoint


def pose_map(points: np.ndarray, size_px: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """The skeleton on black, uint8 ``[size, size, 3]``.

    Args:
        points: ``[18, 3]`` x and y in pixels, and 1 where the point is in the picture.
        rng: moves the points a little and drops some, as a pose detector does; None draws them as they are.
    """
    draw_bodypose, keypoint = _openpose()
    found = []
    for x, y, visible in points:
        if rng is not None:
            x, y = np.clip(rng.normal((x, y), POINT_JITTER_PX), 0, size_px - 1)
        seen = visible > 0.5 and (rng is None or rng.random() > POINT_DROPPED)
        found.append(keypoint(x=float(x) / size_px, y=float(y) / size_px) if seen else None)
    return draw_bodypose(np.zeros((size_px, size_px, 3), np.uint8), found)


def canny_map(image: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """Edges 0 or 255, uint8 ``[size, size]``; thresholds 100 and 200, or around them if ``rng`` is given."""
    low = 100.0 if rng is None else rng.uniform(60, 140)
    return cv2.Canny(np.ascontiguousarray(image), low, 2 * low)
