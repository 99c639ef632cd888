"""Body points: mediapipe's pose landmarker, given in OpenPose's 18 points.

BlazePose: Bazarevsky et al. 2020, https://arxiv.org/abs/2006.10204; OpenPose's order: Cao et al. 2019,
https://arxiv.org/abs/1812.08008 (the COCO model that the pose ControlNet was trained on).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image

from dreamgui.assets import asset
from dreamgui.data.faces.detect import Face, detect_faces
from dreamgui.data.faces.quiet import after_fork, keep_forever, starting_mediapipe

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
_LOOK_PX = 512
_REACH = 4.0
"""Widths of a face to each side, in which its body is sought."""
_SQUARES = ((6.0, True), (8.0, True), (4.5, True), (3.0, True), (6.0, False), (10.0, False))
"""Squares in which a face's body is sought, the surest first: side in heights of the face, and whether the picture's
edge is repeated outside it."""
_FACE_PLACE = 0.3
_EYES_AND_NOSE = (14, 15, 0)
_AGREED = 0.2
"""Widths of a face by which the two detectors may differ."""
_GREY = 128
MOST_PEOPLE = 6
LEAST_POINTS = 4
"""A body of fewer visible points isn't one."""
_VISIBLE = 0.5
_LOCK = threading.Lock()


def detect_body(image: Image.Image) -> np.ndarray | None:
    """The body of the person who is seen best.

    Args:
        image: RGB of any size.

    Returns:
        [18, 3] float32 in the order of :data:`POINTS`: x and y in pixels, and visibility 0..1, which is 0
        outside the picture; the neck is the middle of the shoulders. None where nobody is found.
    """
    people = _people(image, image.size, 1)
    return people[0] if people else None


def detect_bodies(image: Image.Image) -> list[np.ndarray]:
    """The bodies of all people, at most :data:`MOST_PEOPLE`. A small picture is enlarged to be looked at.

    Args:
        image: RGB of any size.

    Returns:
        [18, 3] each as by :func:`detect_body`, from left to right; those with fewer than :data:`LEAST_POINTS`
        visible points are left out.
    """
    scale = max(1.0, _LOOK_PX / max(image.size))
    look = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    view = image if scale == 1 else image.resize(look, Image.Resampling.BICUBIC)
    faces = sorted(detect_faces(view), key=lambda face: face.box[0])[:MOST_PEOPLE]
    found: list[np.ndarray] = []
    bodies = (
        *_people(view, view.size, 1),
        *_beside_others(view, faces),
        *_people(view, view.size, MOST_PEOPLE),
    )
    for body in bodies:
        if _seen(body) and not any(_same(body, other) for other in found):
            found.append(body)
    for face in faces:
        if not any(_is_of(face, body) for body in found):
            found += _about(view, face)
    people = [body * np.array([1 / scale, 1 / scale, 1], np.float32) for body in found[:MOST_PEOPLE]]
    return sorted(people, key=lambda body: float(body[_NECK, 0]))


def _seen(body: np.ndarray) -> bool:
    return bool((body[:, 2] >= _VISIBLE).sum() >= LEAST_POINTS)


def _is_of(face: Face, body: np.ndarray) -> bool:
    """Return whether a body's nose lies in a face's box."""
    return bool((body[0, :2] >= face.box[:2]).all() and (body[0, :2] <= face.box[2:]).all())


def _fits(face: Face, body: np.ndarray) -> bool:
    """Return whether eyes and nose of a body are where the face detector sees them: some bodies are found upside down."""
    apart = np.abs(body[list(_EYES_AND_NOSE), :2] - np.asarray(face.landmarks[:3]))
    return bool(apart.max() <= _AGREED * face.size_px)


def _about(view: Image.Image, face: Face) -> list[np.ndarray]:
    """The body of a face that was missed: sought in squares about it, some wider than the picture. Return at most one.

    mediapipe looks for whole figures: it misses most people whose hips lie outside. With room about them it finds them.
    """
    height = face.box[3] - face.box[1]
    for reach, repeated in _SQUARES:
        side = max(1, round(reach * height))
        left = round(face.center[0] - side / 2)
        top = round(face.center[1] - _FACE_PLACE * side)
        for body in _people(_square(view, (left, top), side, repeated), (side, side), 1):
            body[:, :2] += (left, top)
            body[:, 2] *= _inside(body, view.size)
            if _seen(body) and _fits(face, body):
                return [body]
    return []


def _square(view: Image.Image, corner: tuple[int, int], side: int, repeated: bool) -> Image.Image:
    """A square of a picture. Outside the picture its edge is repeated, or all is grey."""
    left, top = corner
    pixels = np.asarray(view.convert("RGB"))[max(0, top) : top + side, max(0, left) : left + side]
    above, before = max(0, -top), max(0, -left)
    room = ((above, side - above - pixels.shape[0]), (before, side - before - pixels.shape[1]), (0, 0))
    if repeated:
        return Image.fromarray(np.pad(pixels, room, "edge"))
    return Image.fromarray(np.pad(pixels, room, constant_values=_GREY))


def _beside_others(view: Image.Image, faces: Sequence[Face]) -> Iterator[np.ndarray]:
    """Bodies that are sought about each of several faces, as mediapipe finds one person in most pictures of two."""
    middles = [(face.box[0] + face.box[2]) / 2 for face in faces]
    if len(faces) < 2:
        return
    between = [(one + other) / 2 for one, other in pairwise(middles)]
    for number, face in enumerate(faces):
        reach = _REACH * (face.box[2] - face.box[0])
        left = max(0, middles[number] - reach, between[number - 1] if number else 0)
        right = min(
            view.width, middles[number] + reach, between[number] if number < len(between) else view.width
        )
        box = (int(left), 0, max(int(left) + 1, int(right)), view.height)
        for body in _people(view.crop(box), (box[2] - box[0], box[3]), 1):
            yield body + np.array([box[0], 0, 0], np.float32)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two bodies are one person's: their necks are nearer than half the shoulders' width."""
    widths = [float(np.linalg.norm(np.subtract(*body[list(_SHOULDERS), :2]))) for body in (one, other)]
    return float(np.linalg.norm(one[_NECK, :2] - other[_NECK, :2])) < 0.5 * max(widths)


def _people(image: Image.Image, size: tuple[int, int], most: int) -> list[np.ndarray]:
    """Bodies in a picture, their points in pixels of this size."""
    view = image.convert("RGB")
    view.thumbnail((_VIEW_PX, _VIEW_PX), Image.Resampling.BILINEAR)
    # Not made square first: mediapipe 1.2 warns of other shapes, but on drawn people the error was the same.
    with _LOCK, starting_mediapipe():
        people = _detect(_landmarker(most), np.ascontiguousarray(view))
    return [_body(person, size) for person in people]


def _body(person: Any, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    points = np.array([[p.x * width, p.y * height, p.visibility * p.presence] for p in person], np.float32)
    body = points[list(_FROM_BLAZEPOSE)]
    shoulders = body[list(_SHOULDERS)]
    body[_NECK] = [*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min()]
    body[:, 2] *= _inside(body, size)
    return body


def _inside(body: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return which points lie in a picture of this size."""
    return (body[:, :2] >= 0).all(axis=1) & (body[:, 0] < size[0]) & (body[:, 1] < size[1])


def _detect(landmarker: Any, pixels: np.ndarray) -> list[Any]:
    from mediapipe.tasks.python.vision.core.image import Image as MediapipeImage
    from mediapipe.tasks.python.vision.core.image import ImageFormat

    return landmarker.detect(MediapipeImage(image_format=ImageFormat.SRGB, data=pixels)).pose_landmarks


@cache
def _landmarker(most: int) -> Any:
    """Made once for a number of people, as it takes a while."""
    from mediapipe.tasks.python.core.base_options import BaseOptions
    from mediapipe.tasks.python.vision.pose_landmarker import PoseLandmarker, PoseLandmarkerOptions

    base = BaseOptions(model_asset_path=str(asset("models/pose_landmarker_full.task")))
    landmarker = PoseLandmarker.create_from_options(PoseLandmarkerOptions(base_options=base, num_poses=most))
    keep_forever(landmarker)
    return landmarker


def _begin_anew() -> None:
    """A forked child has neither the task's threads nor those that held the lock."""
    global _LOCK
    _LOCK = threading.Lock()
    _landmarker.cache_clear()


after_fork(_begin_anew)
