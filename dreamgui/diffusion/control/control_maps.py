"""The control maps that guide generation: a picture's edges, or a person's skeleton."""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from PIL import Image

SKELETON_PX = 512
LEAST_VISIBILITY = 0.5
_BROKEN = "controlnet_aux.mediapipe_face"


@lru_cache(maxsize=1)
def _open_pose() -> Any:
    """controlnet_aux's OpenPose package, imported at the first use because that takes about four seconds.

    controlnet_aux 0.0.10 reads ``mediapipe.solutions`` at import, which mediapipe no longer has: a stub
    stands in for the one package that does so. ``tests/diffusion/test_control_maps.py`` tells when it may go.
    """
    stub = types.ModuleType(_BROKEN)
    stub.MediapipeFaceDetector = None  # pyright: ignore[reportAttributeAccessIssue]
    sys.modules.setdefault(_BROKEN, stub)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("controlnet_aux.open_pose")


def canny_map(image: Image.Image, low: int = 100, high: int = 200) -> Image.Image:
    """Edges by Canny's method, white on black, as RGB at the picture's own size.

    For sides that are multiples of 64 the same map as controlnet_aux's ``CannyDetector`` gives; that one
    rounds other sides, so the map would no longer lie over the picture.

    Args:
        image: the picture at the generated picture's size.
        low: gradient (0 to 255 scale) from which an edge that touches a strong one is kept.
        high: gradient from which an edge is strong.
    """
    edges = cv2.Canny(np.asarray(image.convert("RGB")), min(low, high), max(low, high))
    return Image.fromarray(edges).convert("RGB")


def visible_points(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return which of the 18 body points are drawn: seen well enough, and inside the picture as OpenPose's are.

    Args:
        points: [18, 3], x and y in pixels and visibility from 0 to 1.
        size: width and height of the picture in pixels.

    Returns:
        [18] of bool.
    """
    x, y, visibility = points.T
    return (visibility >= LEAST_VISIBILITY) & (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])


def skeletons(people: Sequence[np.ndarray], size: tuple[int, int]) -> Image.Image:
    """The coloured OpenPose skeletons on black that pose ControlNets were trained on. Without people the picture is black.

    controlnet_aux draws limbs 8 pixels wide whatever the size; Stable Diffusion 1.5's ControlNet saw them at
    512 pixels. So a larger map is drawn with its shorter side at 512 and enlarged; a smaller one as it is.

    Args:
        people: points of each, [18, 3] in OpenPose's order: x and y in pixels of a picture of this size, visibility 0..1.
        size: width and height of the map in pixels.
    """
    open_pose = _open_pose()
    scale = min(1.0, SKELETON_PX / min(size))
    canvas = open_pose.draw_poses(
        [open_pose.PoseResult(_body(points, size), None, None, None) for points in people],
        round(size[1] * scale),
        round(size[0] * scale),
        draw_hand=False,
        draw_face=False,
    )
    return Image.fromarray(canvas).resize(size, Image.Resampling.BICUBIC)


def _body(points: np.ndarray, size: tuple[int, int]) -> Any:
    keypoints = [
        _open_pose().Keypoint(x=float(x) / size[0], y=float(y) / size[1]) if seen else None
        for (x, y, _), seen in zip(points, visible_points(points, size), strict=True)
    ]
    count = len(keypoints) - keypoints.count(None)
    return _open_pose().BodyResult(keypoints, total_score=1.0, total_parts=count)
