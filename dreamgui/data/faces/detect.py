"""Face detection: mediapipe's two BlazeFace detectors, merged.

BlazeFace: Bazarevsky et al. 2019, https://arxiv.org/abs/1907.05047. The short-range file sees faces that fill
much of its 128 x 128 input, the full-range file smaller ones in 192 x 192; overlapping tiles find still
smaller ones.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from dreamgui.assets import asset
from dreamgui.data.faces.quiet import after_fork, keep_forever, starting_mediapipe
from dreamgui.data.photos.leaving import go_on

Box = tuple[float, float, float, float]
_FILES = ("models/blaze_face_short_range.tflite", "models/blaze_face_full_range.tflite")
_FULL_RANGE = (1,)
_LEAST_CONFIDENCE = 0.1
_PROPOSAL = 0.3
_SECOND_LOOK = 2.5
_LEAST_TILE_PX = 256
_VIEW_PX = 384
# Seen on real faces pasted into pictures: the full-range detector finds 9 of 10 from this share on.
_LEAST_SHARE = 0.1
_TILE_STEP = 0.75
_SAME_FACE_IOU = 0.3
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    ``box`` is x0, y0, x1, y1 in pixels, from the brows to the chin, inside the picture; ``score`` 0..1;
    ``landmarks`` are (x, y) in pixels of the person's right eye, left eye, nose tip, mouth, right ear, left
    ear.
    """

    box: Box
    score: float
    landmarks: tuple[tuple[float, float], ...]

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def found(self) -> bool:
        """Return whether this is a face, not the stand-in of :func:`no_face`."""
        return self.size_px > 0

    @property
    def center(self) -> tuple[float, float]:
        """The middle of the box."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def roll(self) -> float:
        """Return how far the line through the eyes is turned clockwise, in degrees from -180 to 180."""
        (right_x, right_y), (left_x, left_y) = self.landmarks[:2]
        return math.degrees(math.atan2(left_y - right_y, left_x - right_x))

    def moved(self, x: float, y: float, scale: float = 1.0) -> Face:
        """The same face in a picture ``scale`` times larger that begins ``x``, ``y`` pixels earlier."""
        x0, y0, x1, y1 = (value * scale for value in self.box)
        points = tuple((px * scale + x, py * scale + y) for px, py in self.landmarks)
        return replace(self, box=(x0 + x, y0 + y, x1 + x, y1 + y), landmarks=points)


def no_face(size: tuple[int, int]) -> Face:
    """Return the stand-in for the face of a picture that shows none: without extent, in the picture's middle.

    Args:
        size: width and height of the picture in pixels.
    """
    x, y = size[0] / 2, size[1] / 2
    return Face((x, y, x, y), 0.0, ())


def detect_faces(
    image: Image.Image, min_confidence: float = 0.5, least_px: float | None = None
) -> list[Face]:
    """All faces, the surest first. It is safe to call it from several threads.

    The detectors propose; each proposal is looked at again in a square around it, where its face is large.
    That places small faces better, and tells them from things that only looked like one from afar.

    Args:
        image: RGB, upright, of any size.
        min_confidence: least score of a face, 0.1..1. A proposal that scored less than 0.25 above it must
            do so at the second look, and both detectors must see it there.
        least_px: look through overlapping tiles small enough for faces of this size, whether or not larger
            ones were found; None looks through tiles only where the whole picture showed none.
    """
    faces = _sure(image, _look(image, min(_PROPOSAL, min_confidence)), min_confidence)
    for side in _tile_sides(image.size, least_px):
        if faces and least_px is None:
            break
        proposals = _through_tiles(image, side, min(_PROPOSAL, min_confidence))
        new = [face for face in proposals if all(_overlap(face.box, o.box) < _SAME_FACE_IOU for o in faces)]
        faces = merge(faces + _sure(image, new, min_confidence))
    return faces


def _tile_sides(size: tuple[int, int], least_px: float | None) -> Iterator[int]:
    """Sides of the tiles, from coarse to fine."""
    shorter = min(size)
    if least_px is None:
        yield from (side for side in (shorter // 2, shorter // 4) if side >= _LEAST_TILE_PX)
        return
    finest = max(64, round(least_px / _LEAST_SHARE))
    side = max(size)
    while side > finest * 1.1:
        side = min(shorter, max(side // 2, finest))
        yield side


def _through_tiles(image: Image.Image, side: int, min_confidence: float) -> list[Face]:
    """Return what the full-range detector sees in overlapping squares. The picture is made smaller once for all of them."""
    scale = max(1.0, side / _VIEW_PX)
    view = _smaller(image, scale)
    tile_px = min(round(side / scale), *view.size)
    found: list[Face] = []
    for x, y in _tiles(view.size, tile_px):
        go_on()
        seen = _look(view.crop((x, y, x + tile_px, y + tile_px)), min_confidence, _FULL_RANGE)
        found += [face.moved(x, y).moved(0, 0, scale) for face in seen]
    return found


def _sure(image: Image.Image, proposals: list[Face], min_confidence: float) -> list[Face]:
    """The proposals that hold at the second look, merged again as two of them may turn out to be one face."""
    faces = (_second_look(image, proposal, min_confidence) for proposal in merge(proposals))
    return merge([face for face in faces if face is not None])


def _second_look(image: Image.Image, proposal: Face, min_confidence: float) -> Face | None:
    convincing = max(min_confidence, min(0.75, min_confidence + 0.25))
    x, y = proposal.center
    reach = proposal.size_px * _SECOND_LOOK / 2
    left, top = max(0, round(x - reach)), max(0, round(y - reach))
    right, bottom = min(image.width, round(x + reach)), min(image.height, round(y + reach))
    view = image.crop((left, top, right, bottom))
    scale = max(1.0, max(view.size) / _VIEW_PX)
    small = _smaller(view, scale)
    seen = [_look(small, min_confidence, (number,)) for number in range(len(_FILES))]
    found = merge([face for faces in seen for face in faces])
    if not found:
        return None
    doubtful = proposal.score < convincing
    if doubtful and (found[0].score < convincing or not all(seen)):
        return None
    return found[0].moved(0, 0, scale).moved(left, top)


def merge(faces: list[Face]) -> list[Face]:
    """Non-maximum suppression: of boxes with an IoU above 0.3, or in each other, the surest stays."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_overlap(face.box, other.box) < _SAME_FACE_IOU for other in kept):
            kept.append(face)
    return kept


def _overlap(a: Box, b: Box) -> float:
    """IoU, or a bit less than the share of the smaller box that lies in the larger one where that is more."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    both = width * height
    return max(both / (sum(areas) - both), both / min(areas) - 0.4)


def _tiles(size: tuple[int, int], side: int) -> Iterator[tuple[int, int]]:
    """Corners of squares that cover the picture and overlap by a quarter or more."""
    width, height = size
    step = side * _TILE_STEP
    for y in np.linspace(0, height - side, 1 + int(np.ceil((height - side) / step))):
        for x in np.linspace(0, width - side, 1 + int(np.ceil((width - side) / step))):
            yield int(x), int(y)


def _look(image: Image.Image, min_confidence: float, which: Sequence[int] = (0, 1)) -> list[Face]:
    """Detectors over the whole picture, made smaller first: their inputs are small anyway."""
    scale = max(1.0, max(image.size) / _VIEW_PX)
    view = _smaller(image, scale)
    pixels = np.ascontiguousarray(view if view.mode == "RGB" else view.convert("RGB"))
    with _LOCK:
        detectors = _detectors()
        found = [detection for number in which for detection in _detect(detectors[number], pixels)]
    faces = (_to_face(detection, view.size) for detection in found)
    return merge(
        [face.moved(0, 0, scale) for face in faces if face is not None and face.score >= min_confidence]
    )


def _smaller(image: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    return image if scale == 1 else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.01)


def _detect(detector: Any, pixels: np.ndarray) -> list[Any]:
    from mediapipe.tasks.python.vision.core.image import Image as MediapipeImage
    from mediapipe.tasks.python.vision.core.image import ImageFormat

    return detector.detect(MediapipeImage(image_format=ImageFormat.SRGB, data=pixels)).detections


def _to_face(detection: Any, size: tuple[int, int]) -> Face | None:
    """A detection with its box cut to the picture, or None where nothing of it lies inside."""
    box = detection.bounding_box
    x0, x1 = np.clip((box.origin_x, box.origin_x + box.width), 0, size[0])
    y0, y1 = np.clip((box.origin_y, box.origin_y + box.height), 0, size[1])
    if x1 - x0 < 1 or y1 - y0 < 1:
        return None
    points = tuple((point.x * size[0], point.y * size[1]) for point in detection.keypoints)
    return Face((float(x0), float(y0), float(x1), float(y1)), float(detection.categories[0].score), points)


@cache
def _detectors() -> list[Any]:
    """Made once, as that takes a second. The first look is part of it, as it writes to the terminal too."""
    with starting_mediapipe():
        from mediapipe.tasks.python.core.base_options import BaseOptions
        from mediapipe.tasks.python.vision.face_detector import FaceDetector, FaceDetectorOptions

        detectors = []
        for name in _FILES:
            base = BaseOptions(model_asset_path=str(asset(name)))
            options = FaceDetectorOptions(base_options=base, min_detection_confidence=_LEAST_CONFIDENCE)
            detectors.append(FaceDetector.create_from_options(options))
            _detect(detectors[-1], np.zeros((64, 96, 3), np.uint8))
            keep_forever(detectors[-1])
    return detectors


def _begin_anew() -> None:
    """A forked child has neither the task's threads nor those that held the lock."""
    global _LOCK
    _LOCK = threading.Lock()
    _detectors.cache_clear()


after_fork(_begin_anew)
