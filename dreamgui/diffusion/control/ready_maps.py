"""Recognition of pictures that are control maps already: edges as Canny's, skeletons as OpenPose's."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

_DARK, _LIGHT = 48, 207
_TWO_VALUED_SHARE = 0.96
_LINES_SHARE = (0.001, 0.35)
_THICK_SHARE = 0.1
_SKELETON_SHARE = (0.001, 0.4)
_VIVID = 0.8
_HUES, _LEAST_HUES = 18, 5
_OPENPOSE_SHARE = 0.75


def ready_map(image: Image.Image, kind: str) -> Image.Image | None:
    """The map of this kind ("canny" or "pose") that a picture already is, or None for any other picture.

    Edges that were blurred by JPEG or by a change of size are black and white again.
    """
    if kind == "canny":
        return two_valued(image) if is_edge_map(image) else None
    return image.convert("RGB") if is_skeleton(image) else None


def two_valued(image: Image.Image) -> Image.Image:
    """The picture as RGB in black and white."""
    grey = np.asarray(image.convert("L"))
    return Image.fromarray(np.where(grey > 127, 255, 0).astype(np.uint8)).convert("RGB")


def is_edge_map(image: Image.Image) -> bool:
    """Return whether a picture is thin, nearly white lines on nearly black."""
    pixels = np.asarray(image.convert("RGB")).astype(np.int16)
    grey = pixels.mean(axis=2)
    two = ((grey <= _DARK) | (grey >= _LIGHT)).mean() >= _TWO_VALUED_SHARE
    lines = (grey > 127).astype(np.uint8)
    least, most = _LINES_SHARE
    if not (two and least <= lines.mean() <= most):
        return False
    if (np.ptp(pixels, axis=2)[grey > _DARK] <= _DARK).mean() < _TWO_VALUED_SHARE:
        return False
    width_px = max(3, min(image.size) // 100 + 1)
    thick = cv2.erode(lines, np.ones((width_px, width_px), np.uint8))
    return bool(thick.sum() <= _THICK_SHARE * lines.sum())


def is_skeleton(image: Image.Image) -> bool:
    """Return whether a picture is an OpenPose skeleton: vivid limbs on black, their hues 20 degrees apart."""
    pixels = np.asarray(image.convert("RGB"))
    limbs = pixels.max(axis=2) > _DARK
    black = (pixels.max(axis=2) <= _DARK // 2).mean()
    least, most = _SKELETON_SHARE
    if not least <= limbs.mean() <= most or black < 1 - most:
        return False
    hue, saturation, _ = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)[limbs].astype(float).T
    degrees = 2 * hue
    nearest = np.round(degrees / (360 / _HUES)) % _HUES
    apart = np.abs(degrees - np.round(degrees / (360 / _HUES)) * (360 / _HUES))
    of_openpose = (saturation >= 255 * _VIVID) & (apart <= 4)
    counts = np.bincount(nearest[of_openpose].astype(int), minlength=_HUES)
    return bool(of_openpose.mean() >= _OPENPOSE_SHARE and (counts > 0.01 * limbs.sum()).sum() >= _LEAST_HUES)
