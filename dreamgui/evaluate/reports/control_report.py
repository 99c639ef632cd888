"""Pictures guided by the edges or the pose of a picture, as a report."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from dreamgui.config import ControlJob
from dreamgui.evaluate.document.blocks import (
    Block,
    Bullets,
    Chart,
    Content,
    Document,
    Figure,
    Gallery,
    Heading,
    Paragraph,
    Table,
)
from dreamgui.evaluate.document.charts import curve_chart, interval_chart
from dreamgui.evaluate.following import WITHIN_PX, WITHIN_WIDTH
from dreamgui.evaluate.reports.report import versions
from dreamgui.evaluate.statistics import Interval
from dreamgui.events import Cell

TITLES = {"canny": "edges", "pose": "pose"}
FIGURES = {
    "edge_recall": "edges followed",
    "pose_within": "body points followed",
    "pose_distance": "mean distance of body points",
    "likeness": "likeness",
}
"""Names of a picture's figures in words. All are shares from 0 to 1, the distance a share of the width."""
CHARTED = ("edge_recall", "pose_within", "likeness")
_NONE = "–"  # noqa: RUF001 - the usual sign for "no value" in a table


@dataclass(frozen=True)
class ControlResult:
    """One picture's map and what each model generated on it.

    Attributes:
        job: what was asked for.
        source: the control image in its frame, at the pictures' size.
        control_map: the map.
        cells: models in their order, each at every strength (``scores["strength"]``).
        device: the machine in words.
        seconds: the whole generation took.
        stopped: whether the user stopped it, so that pictures are missing.
        more_maps: those of further ControlNets.
    """

    job: ControlJob
    source: Image.Image
    control_map: Image.Image
    cells: tuple[Cell, ...]
    device: str
    seconds: float
    stopped: bool = False
    more_maps: tuple[Image.Image, ...] = ()

    @property
    def models(self) -> list[str]:
        """Names of the models with a picture, in their order."""
        return list(dict.fromkeys(cell.model for cell in self.cells))

    def cell(self, model: str, scale: float) -> Cell | None:
        """Return a model's picture at a strength, or None where it wasn't generated."""
        found = (cell for cell in self.cells if cell.model == model and strength_of(cell) == scale)
        return next(found, None)


def strength_of(cell: Cell) -> float:
    """Return the control strength of a picture."""
    return cell.scores.get("strength") or 0.0


def control_document(result: ControlResult, name: str) -> Document:
    """The report of a ControlNet job. ``name`` is the report's."""
    job, pictures = result.job, {}
    lead = "Every model generated the same prompt from the same seed and the same map."
    if result.stopped:
        lead += " It was stopped before its end, so pictures are missing."
    blocks: list[Block] = [control_gallery(result, pictures)]
    if len(job.scales) > 1:
        blocks = [_map_gallery(result, pictures), strength_table(result, pictures)]
    blocks += following_blocks(result)
    blocks += [Heading("How this was made"), Bullets(_method_notes(result))]
    data = {"kind": "control", "report": name, **control_data(result), "versions": versions()}
    return Document(f"Led by the {TITLES[job.control]}: {name}", lead, tuple(blocks), pictures, data)


def _method_notes(result: ControlResult) -> tuple[str, ...]:
    job = result.job
    canny = f" Thresholds {job.canny_low} and {job.canny_high}." if job.control == "canny" else ""
    scales = ", ".join(f"{scale:g}" for scale in job.scales)
    steps = f"followed from {job.control_start:g} to {job.control_end:g} of the steps"
    guess = ", in guess mode" if job.guess_mode else ""
    notes = [
        f"Prompt: {job.prompt}",
        f"Sampler {job.scheduler}, {job.steps} steps, guidance {job.guidance_scale:g}, seed {job.seed}, "
        f"strength of the control {scales}, {steps}{guess}, of a LoRA {job.lora_scale:g}.{canny}",
    ]
    if second := job.second:
        notes.append(
            f"Second ControlNet: {TITLES[second.control]}, strength {second.control_scale:g}, followed from "
            f"{second.control_start:g} to {second.control_end:g} of the steps."
        )
    return (*notes, f"Generated in {result.seconds:.0f} s on {result.device}.")


def control_gallery(result: ControlResult, pictures: dict[str, Image.Image]) -> Gallery:
    """The control image, its maps, and each picture. They are put under ``pictures``."""
    figures = list(_map_gallery(result, pictures).shots)
    several = len(result.job.scales) > 1
    for cell in result.cells:
        title = f"{cell.model}, strength {strength_of(cell):g}" if several else cell.model
        figures.append(_figure(result, cell, title, pictures))
    return Gallery(tuple(figures))


def _map_gallery(result: ControlResult, pictures: dict[str, Image.Image]) -> Gallery:
    kind, second = result.job.control, result.job.second
    shown = {f"images/{kind}-picture.png": (result.source, "the control image")}
    shown[f"images/{kind}-map.png"] = (result.control_map, f"its {TITLES[kind]}")
    for image in result.more_maps if second else ():
        assert second is not None
        shown[f"images/{kind}-second-map.png"] = (image, f"the second map: {TITLES[second.control]}")
    pictures |= {path: image for path, (image, _) in shown.items()}
    return Gallery(tuple(Figure(path, note, note) for path, (_, note) in shown.items()))


def _figure(result: ControlResult, cell: Cell, title: str, pictures: dict[str, Image.Image]) -> Figure:
    assert isinstance(cell.image, Image.Image), "a recipe's pictures are PIL images"
    path = control_path(result, cell)
    pictures[path] = cell.image
    return Figure(path, title, "; ".join(part for part in (title, figures_text(cell)) if part))


def figures_text(cell: Cell) -> str:
    """Return a picture's figures in a few words, or "" where nothing was measured."""
    told = []
    for name, words in FIGURES.items():
        value = cell.scores.get(name)
        if value is not None:
            told.append(f"{words} {value:.0%}" if name != "likeness" else f"{words} {value:.2f}")
        elif name == "likeness" and name in cell.scores:
            told.append("no face found")
    return ", ".join(told)


def strength_table(result: ControlResult, pictures: dict[str, Image.Image]) -> Table:
    """Models by strengths, each picture with its figures."""
    rows = []
    for model in result.models:
        row: list[Content] = [model]
        for scale in result.job.scales:
            cell = result.cell(model, scale)
            row.append(_figure(result, cell, f"strength {scale:g}", pictures) if cell else _NONE)
        rows.append(tuple(row))
    return Table(("Model", *(f"strength {scale:g}" for scale in result.job.scales)), tuple(rows))


def following_blocks(result: ControlResult) -> tuple[Block, ...]:
    """Charts of how closely the map is followed and of the likeness that is kept, or nothing where nothing was
    measured."""
    names = [name for name in CHARTED if any(cell.scores.get(name) is not None for cell in result.cells)]
    if not names:
        return ()
    charts = [
        Chart(f"{name.replace('_', '-')}.svg", f"{FIGURES[name]} of each model", _chart(result, name))
        for name in names
    ]
    explanation = (
        f"An edge of the map counts as followed where the picture has an edge within {WITHIN_PX} pixels; pictures "
        "without control follow some by chance. A body point counts as followed where the same point is detected "
        f"again in the picture within {WITHIN_WIDTH:.0%} of its width. Likeness is that of Compare."
    )
    told = Paragraph(f"Below, each from 0 to 1: {', '.join(FIGURES[name] for name in names)}.")
    return Heading("How closely the map is followed"), told, *charts, Paragraph(explanation)


def _chart(result: ControlResult, name: str) -> str:
    """A line a model over the strengths, or a dot a model at the one strength."""
    rows = {model: _values(result, model, name) for model in result.models}
    if len(result.job.scales) > 1:
        curves = {model: sorted(values.items()) for model, values in rows.items() if values}
        return curve_chart(curves, f"control strength; {FIGURES[name]}")
    infinity = float("inf")
    return interval_chart(
        {
            model: Interval(value, -infinity, infinity, 1) if (value := next(iter(values.values()), None)) is not None else None
            for model, values in rows.items()
        }
    )  # fmt: skip


def _values(result: ControlResult, model: str, name: str) -> dict[float, float]:
    """A figure of a model by strength, as far as it was measurable."""
    found = {strength_of(cell): cell.scores.get(name) for cell in result.cells if cell.model == model}
    return {scale: value for scale, value in found.items() if value is not None}


def control_path(result: ControlResult, cell: Cell) -> str:
    """Return where a picture lies in the report's folder."""
    job = result.job
    column = f"-strength-{job.scales.index(strength_of(cell)) + 1:02d}" if len(job.scales) > 1 else ""
    return f"images/{job.control}-model-{result.models.index(cell.model) + 1:02d}{column}.png"


def control_data(result: ControlResult) -> dict[str, object]:
    """The result as report.json holds it."""
    kind = result.job.control
    second = {"second_map": f"images/{kind}-second-map.png"} if result.more_maps else {}
    return {
        "stopped": result.stopped,
        "control": control_rows(result),
        "picture": f"images/{kind}-picture.png",
        "map": f"images/{kind}-map.png",
        **second,
        "prompt": result.job.prompt,
        "seed": result.job.seed,
        "settings": result.job.model_dump(mode="json", exclude={"image", "second_image"}),
        "device": result.device,
        "seconds": round(result.seconds, 1),
    }


def control_rows(result: ControlResult) -> list[dict[str, object]]:
    """One row a picture: map, model, strength, place, and its figures."""
    return [
        {
            "map": result.job.control,
            "model": cell.model,
            "prompt": cell.prompt,
            "seed": cell.seed,
            "path": control_path(result, cell),
            **cell.scores,
        }
        for cell in result.cells
    ]
