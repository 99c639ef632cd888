"""The same prompts with the same seeds through several models, measured and written down."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from dreamgui.config import CompareJob, TrainJob
from dreamgui.data.dataset import Dataset
from dreamgui.data.photos import load_image
from dreamgui.diffusion.sample import Draw
from dreamgui.errors import BadPhoto, StopRequested
from dreamgui.evaluate.compare_report import compare_document
from dreamgui.evaluate.comparison import Comparison, ModelRow
from dreamgui.evaluate.drift import CLASS_PICTURES, class_drift
from dreamgui.evaluate.identity import Likeness
from dreamgui.evaluate.report import write_report
from dreamgui.events import Cell, Event, Note, Progress, Saved, Score
from dreamgui.models.catalog import Catalog
from dreamgui.recipes.drawing import batches, request
from dreamgui.recipes.drawn import drawn
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

_BYTES_A_PICTURE = 2_000_000


def compare(job: CompareJob, workspace: Workspace, models: Models) -> Generator[Event, None, Comparison]:
    """Draw prompt i from seed + i through every model, measure likeness, write reports/NAME.

    Where one of the models was trained, each also draws a few pictures of the class, without the person's
    token, to see whether the class was kept. When stopped, what was drawn becomes the report.

    Returns:
        What was found (to whoever delegates to this recipe).

    Raises:
        UnknownName: there is no such model or data set.
        BadInput: a run isn't finished.
    """
    began = time.monotonic()
    names = list(dict.fromkeys(job.models))
    specs = [models.catalog.spec(name, job.lora_scale) for name in names]
    rows = [model_row(models.catalog, name) for name in names]
    class_prompt = next((row.class_prompt for row in rows if row.class_prompt), "")
    requests = [request(job, prompt, job.seed + column) for column, prompt in enumerate(job.prompts)]
    class_count = CLASS_PICTURES if class_prompt else 0
    class_requests = [request(job, class_prompt, job.seed + number) for number in range(class_count)]
    total = len(rows) * (len(requests) + len(class_requests))
    workspace.require_space(total * _BYTES_A_PICTURE)
    name = workspace.fresh("reports", job.report or time.strftime("compare-%Y%m%d-%H%M%S"))

    cells: list[Cell] = []
    class_cells: list[Cell] = []
    drift = {}

    def found(stopped: bool = False) -> Comparison:
        seconds = time.monotonic() - began
        device = models.status()["device"]
        return Comparison(
            job, tuple(rows), tuple(cells), tuple(class_cells), class_prompt, drift, device, seconds, stopped
        )

    stopped = False
    try:
        yield Progress("Comparing", 0, total)
        person = _person(job, workspace)
        if person is None:
            yield Note("No face was found in the data set's pictures, so likeness isn't measured.")
        for row, spec in zip(rows, specs, strict=True):
            with models.use(spec) as parts:
                for batch in batches(parts, requests):
                    so_far = Progress("Comparing", len(cells) + len(class_cells), total)
                    images = yield from drawn(parts, batch, so_far)
                    for asked, image in zip(batch, images, strict=True):
                        scores = {"likeness": person.score(image)} if person else {}
                        cells.append(Cell(row.name, asked.prompt, asked.seed, image, scores))
                        yield cells[-1]
                        yield Progress("Comparing", len(cells) + len(class_cells), total)
                pictures: list[Image.Image] = []
                for batch in batches(parts, class_requests):
                    so_far = Progress("Comparing", len(cells) + len(class_cells) + len(pictures), total)
                    pictures += yield from drawn(parts, batch, so_far)
            if person:
                drift[row.name] = class_drift(pictures, person)
            class_cells += _class_cells(row.name, class_requests, pictures, drift)
            yield Progress("Comparing", len(cells) + len(class_cells), total)
            yield Score(row.name, found().figures(row.name))
    except StopRequested:
        if not cells:
            raise
        stopped = True
        yield Note(
            f"Stopped after {len(cells)} of {len(rows) * len(requests)} pictures; they become the report."
        )
    comparison = found(stopped)
    folder = workspace.place("reports", name)
    write_report(compare_document(comparison, name), folder)
    yield Saved("report", name, folder)
    return comparison


def model_row(catalog: Catalog, name: str) -> ModelRow:
    """What a report says of the model or run of this name."""
    if name in catalog.bases():
        files = (
            file for file in catalog.folder(name).rglob("*.safetensors") if "controlnet" not in file.parts
        )
        return ModelRow(name, "base", name, file_bytes=sum(file.stat().st_size for file in files))
    card = catalog.run(name)
    return ModelRow(
        name=name,
        kind=card.kind,
        base=card.base,
        rank=card.rank,
        alpha=card.alpha,
        learning_rate=card.learning_rate,
        steps=card.steps,
        seconds=card.seconds,
        file_bytes=card.file_bytes,
        class_prompt=card.job.get("class_prompt") or TrainJob.model_fields["class_prompt"].default,
        prior_preservation=bool(card.job.get("prior_preservation")),
    )


def _person(job: CompareJob, workspace: Workspace) -> Likeness | None:
    """The person in the data set; None where no face is found in it."""
    dataset = Dataset.load(workspace.find("datasets", job.dataset))
    try:
        return Likeness(load_image(path) for path, _ in dataset.images())
    except BadPhoto:
        return None


def _class_cells(
    model: str, requests: Sequence[Draw], pictures: Sequence[Image.Image], drift: dict
) -> list[Cell]:
    """A model's class pictures as cells; the page's grid doesn't show them, the report does."""
    measured = drift[model].likeness if model in drift else ()
    scores = [{"likeness": value} for value in measured] or [{}] * len(pictures)
    drawn_from = zip(requests, pictures, scores, strict=False)
    return [Cell(model, request.prompt, request.seed, image, score) for request, image, score in drawn_from]
