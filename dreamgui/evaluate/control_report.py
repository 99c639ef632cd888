"""Drawings led by the edges or the pose of a picture, as a report."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from dreamgui.config import ControlJob
from dreamgui.evaluate.document import Bullets, Document, Gallery, Heading, Shot
from dreamgui.evaluate.report import versions
from dreamgui.events import Cell

TITLES = {"canny": "edges", "pose": "pose"}


@dataclass(frozen=True)
class ControlDrawing:
    """One picture's map and what each model drew on it.

    Attributes:
        job: what was asked for.
        source: the square of the leading picture, at the drawing's size.
        hint: the map.
        cells: one a model, in the models' order.
        device: the machine in words.
        seconds: the whole drawing took.
        stopped: whether the user stopped it, so that models are missing.
    """

    job: ControlJob
    source: Image.Image
    hint: Image.Image
    cells: tuple[Cell, ...]
    device: str
    seconds: float
    stopped: bool = False


def control_document(drawing: ControlDrawing, name: str) -> Document:
    """The report of a ControlNet drawing; ``name`` is the report's."""
    job, pictures = drawing.job, {}
    gallery = control_gallery(drawing, pictures)
    canny = f" Thresholds {job.canny_low} and {job.canny_high}." if job.control == "canny" else ""
    notes = (
        f"Prompt: {job.prompt}",
        f"Sampler {job.scheduler}, {job.steps} steps, guidance {job.guidance_scale:g}, seed {job.seed}, "
        f"strength of the control {job.control_scale:g}, of a LoRA {job.lora_scale:g}.{canny}",
        f"Drawn in {drawing.seconds:.0f} s on {drawing.device}.",
    )
    lead = "Every model drew the same prompt from the same seed and the same map."
    if drawing.stopped:
        lead += " It was stopped before its end, so models are missing."
    data = {"kind": "control", "report": name, **control_data(drawing), "versions": versions()}
    blocks = (gallery, Heading("How this was made"), Bullets(notes))
    return Document(f"Led by the {TITLES[job.control]}: {name}", lead, blocks, pictures, data)


def control_gallery(drawing: ControlDrawing, pictures: dict[str, Image.Image]) -> Gallery:
    """The leading picture, its map, and each model's drawing; the pictures are put under ``pictures``."""
    kind = drawing.job.control
    paths = {f"images/{kind}-picture.png": drawing.source, f"images/{kind}-map.png": drawing.hint}
    notes = ["the picture that leads", f"its {TITLES[kind]}"]
    for number, cell in enumerate(drawing.cells):
        assert isinstance(cell.image, Image.Image), "a recipe's pictures are PIL images"
        paths[control_path(kind, number)] = cell.image
        notes.append(cell.model)
    pictures |= paths
    return Gallery(tuple(Shot(path, note, note) for path, note in zip(paths, notes, strict=True)))


def control_path(kind: str, number: int) -> str:
    """Where the drawing of this model number lies in the report's folder."""
    return f"images/{kind}-model-{number + 1:02d}.png"


def control_data(drawing: ControlDrawing) -> dict[str, object]:
    """The drawing as report.json holds it."""
    kind = drawing.job.control
    return {
        "stopped": drawing.stopped,
        "control": control_rows(drawing),
        "picture": f"images/{kind}-picture.png",
        "map": f"images/{kind}-map.png",
        "prompt": drawing.job.prompt,
        "seed": drawing.job.seed,
        "settings": drawing.job.model_dump(mode="json", exclude={"image"}),
        "device": drawing.device,
        "seconds": round(drawing.seconds, 1),
    }


def control_rows(drawing: ControlDrawing) -> list[dict[str, object]]:
    """One row a drawing: which map, which model, where."""
    kind = drawing.job.control
    return [
        {
            "map": kind,
            "model": cell.model,
            "prompt": cell.prompt,
            "seed": cell.seed,
            "path": control_path(kind, number),
        }
        for number, cell in enumerate(drawing.cells)
    ]
