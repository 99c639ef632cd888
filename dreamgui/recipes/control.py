"""One picture's edges or pose lead the same drawing through several models."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dreamgui.config import ControlJob
from dreamgui.data.body import detect_body
from dreamgui.data.crop import square_crop
from dreamgui.data.faces import detect_faces
from dreamgui.data.framing import choose_subject
from dreamgui.data.photos import load_image, shown_name
from dreamgui.diffusion.hints import canny_map, pose_map, visible_points
from dreamgui.diffusion.sample import ControlInput
from dreamgui.errors import BadInput, StopRequested
from dreamgui.evaluate.control_report import ControlDrawing, control_document
from dreamgui.evaluate.report import write_report
from dreamgui.events import Cell, Event, Hint, Note, Progress, Saved
from dreamgui.recipes.drawing import request
from dreamgui.recipes.drawn import drawn
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

_FACE_HEIGHT = 0.35
_LEAST_POINTS = 4
_LOOK_PX = 512


def control(job: ControlJob, workspace: Workspace, models: Models) -> Generator[Event, None, ControlDrawing]:
    """Take the map of a picture, draw the prompt on it through every model, write reports/NAME.

    When stopped, what was drawn becomes the report.

    Returns:
        What was drawn (to whoever delegates to this recipe).

    Raises:
        BadPhoto: the picture can't be read.
        BadInput: nobody is found for a pose, or the picture has no edges.
        UnknownName: there is no such model.
    """
    began = time.monotonic()
    names = list(dict.fromkeys(job.models))
    specs = [models.catalog.spec(name, job.lora_scale, controlnet=job.control) for name in names]
    size_px = models.catalog.card(specs[0].base).size_px
    yield Progress("Drawing", 0, len(names))
    photograph = load_image(job.image)
    box = leading_square(photograph)
    source = square_crop(photograph, box, size_px)
    hint = _hint(job, photograph.crop(box), source)
    yield Hint(job.control, hint)

    name = workspace.fresh("reports", job.report or time.strftime(f"{job.control}-%Y%m%d-%H%M%S"))
    asked = replace(request(job, job.prompt, job.seed), width_px=size_px, height_px=size_px)
    cells: list[Cell] = []
    stopped = False
    try:
        for model, spec in zip(names, specs, strict=True):
            with models.use(spec) as parts:
                told = Progress("Drawing", len(cells), len(names))
                [image] = yield from drawn(parts, [asked], told, ControlInput(hint, job.control_scale))
            cells.append(Cell(model, job.prompt, job.seed, image))
            yield cells[-1]
            yield Progress("Drawing", len(cells), len(names))
    except StopRequested:
        if not cells:
            raise
        stopped = True
        yield Note(f"Stopped after {len(cells)} of {len(names)} models; their drawings become the report.")
    seconds, device = time.monotonic() - began, models.status()["device"]
    drawing = ControlDrawing(job, source, hint, tuple(cells), device, seconds, stopped)
    folder = workspace.place("reports", name)
    write_report(control_document(drawing, name), folder)
    yield Saved("report", name, folder)
    return drawing


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


def _hint(job: ControlJob, square: Image.Image, source: Image.Image) -> Image.Image:
    """The map at the size of ``source``, which is ``square`` made smaller; a body is sought in that."""
    if job.control == "canny":
        hint = canny_map(source, job.canny_low, job.canny_high)
        if hint.getbbox() is None:
            raise BadInput(
                f"No edges were found in {shown_name(job.image)} with the thresholds {job.canny_low} and "
                f"{job.canny_high}.",
                "Lower the thresholds, or choose a picture with more contrast.",
            )
        return hint
    look_px = max(_LOOK_PX, square.width)
    points = detect_body(square.resize((look_px, look_px), Image.Resampling.BICUBIC))
    if points is None or visible_points(points, (look_px, look_px)).sum() < _LEAST_POINTS:
        raise BadInput(
            f"No person was found in {shown_name(job.image)}, so there is no pose to take from it.",
            "Choose a picture that shows one person from the hips up, or use the edges (canny).",
        )
    return pose_map(_scaled(points, source.width / look_px), source.size)


def _scaled(points: np.ndarray, factor: float) -> np.ndarray:
    return points * np.array([factor, factor, 1.0])
