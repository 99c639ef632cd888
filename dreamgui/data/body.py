"""Where the body is: mediapipe's pose landmarker, given in OpenPose's 18 points.

BlazePose: Bazarevsky et al. 2020, https://arxiv.org/abs/2006.10204; OpenPose's order: Cao et al. 2019,
https://arxiv.org/abs/1812.08008 (the COCO model that the pose ControlNet was trained on).
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from dreamgui.assets import asset
from dreamgui.data.quiet import keep_forever, starting_mediapipe

POINTS = (
    "nose", "neck",
    "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip
_NECK = 1
# BlazePose's number for each point above; the neck, which it doesn't have, is filled in afterwards.
_FROM_BLAZEPOSE = (0, 0, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
_SHOULDERS = (2, 5)
_VIEW_PX = 1024
_LOCK = threading.Lock()


def detect_body(image: Image.Image) -> np.ndarray | None:
    """The body of the person who is seen best.

    Args:
        image: RGB of any size.

    Returns:
        [18, 3] float32 in the order of :data:`POINTS`: x and y in pixels, and visibility 0..1, which is 0
        outside the picture; the neck is the middle of the shoulders. None where nobody is found.
    """
    view = image.convert("RGB")
    view.thumbnail((_VIEW_PX, _VIEW_PX), Image.Resampling.BILINEAR)
    # Not made square first: mediapipe 1.2 warns of other shapes, but on drawn people the error was the same.
    with _LOCK, starting_mediapipe():
        people = _detect(_landmarker(), np.ascontiguousarray(view))
    if not people:
        return None
    width, height = image.size
    points = np.array([[p.x * width, p.y * height, p.visibility * p.presence] for p in people[0]], np.float32)
    body = points[list(_FROM_BLAZEPOSE)]
    shoulders = body[list(_SHOULDERS)]
    body[_NECK] = [*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min()]
    inside = (body[:, :2] >= 0).all(axis=1) & (body[:, 0] < width) & (body[:, 1] < height)
    body[:, 2] *= inside
    return body


def _detect(landmarker: Any, pixels: np.ndarray) -> list[Any]:
    from mediapipe.tasks.python.vision.core.image import Image as MediapipeImage
    from mediapipe.tasks.python.vision.core.image import ImageFormat

    return landmarker.detect(MediapipeImage(image_format=ImageFormat.SRGB, data=pixels)).pose_landmarks


@cache
def _landmarker() -> Any:
    """Made once, as it takes a while."""
    from mediapipe.tasks.python.core.base_options import BaseOptions
    from mediapipe.tasks.python.vision.pose_landmarker import PoseLandmarker, PoseLandmarkerOptions

    base = BaseOptions(model_asset_path=str(asset("models/pose_landmarker_full.task")))
    landmarker = PoseLandmarker.create_from_options(PoseLandmarkerOptions(base_options=base))
    keep_forever(landmarker)
    return landmarker
