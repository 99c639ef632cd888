"""draw(): one picture of a person in a scene, with the body points and the face's box."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from . import arms, features, hair, marks
from . import body as bodies
from .canvas import Canvas, oval
from .head import EYE_LINE, HIDDEN_EAR_YAW, Head, paint_ears, paint_skin
from .identity import Identity
from .places import paint_place
from .scene import LIGHTS, Scene

SIZE_PX = 160


@dataclass(frozen=True)
class Drawing:
    """image: uint8 RGB [height, width, 3]; points: float32 [18, 3], x and y in px and visible (1) or not
    (0, then all three are 0), in COCO-18 order with the neck second,
        right meaning the person's right; face_box: x0, y0, x1,
    y1 in px around the skin of the face (it may reach beyond the picture)."""

    image: np.ndarray
    points: np.ndarray
    face_box: tuple[float, float, float, float]


def draw(identity: Identity, scene: Scene, width_px: int = SIZE_PX, height_px: int | None = None) -> Drawing:
    """Draws the person. About 10 ms at 160 px. Raises ValueError for sides below 32 px."""
    height_px = height_px or width_px
    if min(width_px, height_px) < 32:
        raise ValueError(f"a picture needs sides of at least 32 px, got {width_px} x {height_px}")
    side = min(width_px, height_px)
    scale = 3 if side <= 256 else 2
    canvas = Canvas(paint_place(scene, width_px, height_px, scale), scale)
    centre, unit = (scene.head_x * width_px, scene.head_y * height_px), scene.unit * side
    head, body = Head(identity, scene, centre, unit), bodies.Body(identity, scene, centre, unit)
    _paint_person(canvas, head, body)
    image = cv2.resize(canvas.pixels, (width_px, height_px), interpolation=cv2.INTER_AREA)
    image = (image * np.array(LIGHTS[scene.light], np.float32)).clip(0, 255).astype(np.uint8)
    outline = head.outline()
    (x0, y0), (x1, y1) = outline.min(axis=0), outline.max(axis=0)
    return Drawing(
        image, _points(head, body, width_px, height_px), (float(x0), float(y0), float(x1), float(y1))
    )


def _paint_person(canvas: Canvas, head: Head, body: bodies.Body) -> None:
    rows = canvas.pixels.shape[0] / canvas.scale
    if body.at((0.0, 9.9))[1] < rows:
        x, y = body.at((0.0, 9.9))
        canvas.soft(
            oval(x, y, 1.9 * body.unit_px, 0.22 * body.unit_px), (20, 20, 30), 0.5, 0.16 * body.unit_px
        )
    hair.paint_back_hair(canvas, head)
    if body.at((0.0, 4.5))[1] < rows:
        bodies.paint_legs(canvas, body)
    jaw = head.at([(0.0, head.who.chin_length - 0.12)], lift=-0.35)[0]
    bodies.paint_neck(canvas, body, jaw)
    arms.paint_arms(canvas, body, in_front=False)
    bodies.paint_torso(canvas, body)
    arms.paint_arms(canvas, body, in_front=True)
    paint_ears(canvas, head)
    paint_skin(canvas, head)
    marks.paint_freckles(canvas, head)
    marks.paint_beard(canvas, head)
    features.paint_mouth(canvas, head)
    features.paint_nose(canvas, head)
    for side in (-1, 1):
        features.paint_eye(canvas, head, side)
        features.paint_brow(canvas, head, side)
    hair.paint_front_hair(canvas, head)
    marks.paint_glasses(canvas, head)
    marks.paint_earrings(canvas, head)


def _points(head: Head, body: bodies.Body, width_px: int, height_px: int) -> np.ndarray:
    who, yaw = head.who, head.scene.yaw
    nose = head.at([(0.0, EYE_LINE + who.nose_length)], lift=0.15)[0]
    eyes = head.at([(-who.eye_spacing, EYE_LINE), (who.eye_spacing, EYE_LINE)])
    ears = head.rim([(-who.face_width, 0.14), (who.face_width, 0.14)], depth=-0.1)
    places: list[np.ndarray | None] = [nose, body.at(body.joints["neck"])]
    for name in ("left", "right"):  # the picture's left is the person's right, which COCO names first
        places += [body.at(body.joints[f"{name} {joint}"]) for joint in ("shoulder", "elbow", "wrist")]
    for name in ("left", "right"):
        places += [body.at(body.joints[f"{name} {joint}"]) for joint in ("hip", "knee", "ankle")]
    places += [eyes[0], eyes[1]]
    places += [ears[0] if yaw > -HIDDEN_EAR_YAW else None, ears[1] if yaw < HIDDEN_EAR_YAW else None]
    points = np.zeros((18, 3), np.float32)
    for index, place in enumerate(places):
        if place is not None and 0 <= place[0] < width_px and 0 <= place[1] < height_px:
            points[index] = (place[0], place[1], 1)
    return points
