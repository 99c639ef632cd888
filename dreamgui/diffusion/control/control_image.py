"""The control map of a picture: the whole of it in a frame, and the edges or the pose in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from dreamgui.config import ControlJob
from dreamgui.data.faces.body import LEAST_POINTS, detect_bodies
from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.framing import choose_subject
from dreamgui.data.photos.load import load_image, shown_name
from dreamgui.diffusion.control.control_maps import canny_map, skeletons
from dreamgui.diffusion.control.drawn_points import drawn_points
from dreamgui.diffusion.control.frame import Box, at_size, bars, fitted, framed
from dreamgui.diffusion.control.own_pose import BLANK, measurable, own_pose
from dreamgui.diffusion.control.ready_maps import ready_map, two_valued
from dreamgui.errors import BadInput

_FACE_HEIGHT = 0.35
_BLACK = 16
"""Levels up to this one, of 255, are black: JPEG leaves some noise."""


class Mapped(NamedTuple):
    """A control image in its frame, the control map of the same size, sentences on how it was made, and the points
    [18, 3] in pixels of the people on a map that was made of a pose."""

    source: Image.Image
    map: Image.Image
    notes: list[str]
    people: tuple[np.ndarray, ...] = ()


def make_control_map(job: ControlJob, size_px: int) -> Mapped:
    """Return the job's picture in a square frame and its map, both of ``size_px`` a side.

    The whole picture is fitted into the frame, with black bars where its proportions differ; with ``fit`` "crop" it
    is the square about the face. A picture that is a ready map is used as it is.

    Raises:
        BadPhoto: the picture can't be read.
        BadInput: the map would be empty: nobody is found for a pose, or the picture has no edges.
    """
    if job.control == "pose" and job.pose:
        return _own(job, size_px)
    assert job.image is not None, "the job's check asks for an image"
    photograph = load_image(job.image)
    view = photograph.crop(leading_square(photograph)) if job.fit == "crop" else photograph
    frame = (size_px, size_px)
    box = fitted(view.size, frame)
    inner = at_size(view, box)
    told = _bars_sentence(job, view, box, frame)
    if (ready := _ready(job, view, inner)) is not None:
        _refuse_black(job, ready)
        told.append(
            f"{_name(job)} is a ready map and is used as it is. If it isn't one, choose 'photograph' for "
            "what the picture is."
        )
        people = _read_back(job, view, box, told)
        return Mapped(framed(inner, box, frame), framed(ready, box, frame), told, people)
    source = framed(inner, box, frame)
    if job.control == "canny":
        return Mapped(source, framed(_edges(job, inner), box, frame), [*told, *_doubts(job, view)])
    people = _people(job, view, box)
    told += _faces_missed(job, view, len(people))
    return Mapped(source, skeletons(people, frame), told, people)


def _own(job: ControlJob, size_px: int) -> Mapped:
    """The skeletons of the job's own points, over its picture where there is one."""
    board, people = own_pose(job.pose, size_px)
    source = board
    if job.image is not None:
        photograph = load_image(job.image)
        view = photograph.crop(leading_square(photograph)) if job.fit == "crop" else photograph
        box = fitted(view.size, board.size)
        source = framed(at_size(view, box), box, board.size)
    return Mapped(source, board, [] if people else [BLANK], measurable(people))


def _name(job: ControlJob) -> str:
    return shown_name(job.image) if job.image else ""


def _bars_sentence(job: ControlJob, view: Image.Image, box: Box, frame: tuple[int, int]) -> list[str]:
    """A sentence on the bars beside the picture, or nothing where it fills the frame."""
    if not (sizes := bars(box, frame)):
        return []
    return [
        f"{_name(job)} ({view.width} x {view.height} pixels) is fitted whole into the map of "
        f"{frame[0]} x {frame[1]}, never stretched: black bars of {sizes}."
    ]


def _refuse_black(job: ControlJob, ready: Image.Image) -> None:
    """Refuse a ready map without anything on it.

    Raises:
        BadInput: it is black everywhere.
    """
    if np.asarray(ready).max() <= _BLACK:
        raise BadInput(
            f"The map {_name(job)} is black everywhere, so there is nothing to follow.",
            "Choose a map with lines, or generate without a control image in Generate.",
        )


def leading_square(image: Image.Image) -> tuple[int, int, int, int]:
    """The largest square of a picture: x0, y0, x1, y1 in pixels.

    A face, if there is one, stands in its middle column, about a third from its top, as far as that goes.
    """
    side = min(image.size)
    middle_x, middle_y = image.width / 2, image.height / 2
    if image.width != image.height and (faces := detect_faces(image)):
        x0, y0, x1, y1 = choose_subject(faces, image.size).box
        middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2 + side * (0.5 - _FACE_HEIGHT)
    x = min(max(0, round(middle_x - side / 2)), image.width - side)
    y = min(max(0, round(middle_y - side / 2)), image.height - side)
    return x, y, x + side, y + side


def _ready(job: ControlJob, picture: Image.Image, inner: Image.Image) -> Image.Image | None:
    """The map that the picture is already, at the size of ``inner``, or None where a map is to be made of it."""
    if job.image_is == "photograph" or (job.image_is == "auto" and ready_map(picture, job.control) is None):
        return None
    return two_valued(inner) if job.control == "canny" and ready_map(picture, "canny") else inner


def _doubts(job: ControlJob, view: Image.Image) -> list[str]:
    """A sentence where edges would be taken of a skeleton."""
    if job.image_is != "auto" or not ready_map(view, "pose"):
        return []
    name = _name(job)
    return [f"{name} is a skeleton; its edges are taken. Choose the pose to use it as it is."]


def _faces_missed(job: ControlJob, view: Image.Image, count: int) -> list[str]:
    """A sentence where a picture shows more people than have a skeleton, or several have one."""
    faces, name = len(detect_faces(view)), _name(job)
    if faces > count:
        return [f"{name} shows {faces} faces, but a pose was found for {count} only; add the others by hand."]
    return [f"{name} shows {count} people; the map has a skeleton of each."] if count > 1 else []


def _edges(job: ControlJob, inner: Image.Image) -> Image.Image:
    """Edges of a picture at its size."""
    control_map = canny_map(inner, job.canny_low, job.canny_high)
    if control_map.getbbox() is None:
        raise BadInput(
            f"No edges were found in {_name(job)} with the thresholds {job.canny_low} and {job.canny_high}.",
            "Lower the thresholds, or choose a picture with more contrast.",
        )
    return control_map


def _people(job: ControlJob, view: Image.Image, box: Box) -> tuple[np.ndarray, ...]:
    """Points of the people in a picture, in pixels of the frame in which it fills a box."""
    people = detect_bodies(view)
    if not people:
        raise BadInput(
            f"No person was found in {_name(job)}, so there is no pose to take from it.",
            "Choose a picture that shows one person from the hips up, or use the edges (canny).",
        )
    return _in_frame(people, view, box)


def _in_frame(people: Sequence[np.ndarray], view: Image.Image, box: Box) -> tuple[np.ndarray, ...]:
    """Points in pixels of a picture, in those of the frame in which it fills a box. Points that are 0 stay unseen."""
    scale = [(box[2] - box[0]) / view.width, (box[3] - box[1]) / view.height, 1.0]
    return tuple(person * scale + [box[0], box[1], 0.0] for person in people)


def _read_back(job: ControlJob, view: Image.Image, box: Box, told: list[str]) -> tuple[np.ndarray, ...]:
    """Points of a ready skeleton, to measure whether pictures follow it, or a sentence where they can't be read."""
    if job.control != "pose":
        return ()
    people = measurable(_in_frame(drawn_points(view), view, box))
    if not people:
        told.append(
            f"How closely the pose is followed isn't measured: {_name(job)} isn't drawn as OpenPose draws, with a "
            f"disc for each point, or has fewer than {LEAST_POINTS} of them."
        )
    return people
