"""Train several ranks and learning rates from one plan, and put them side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dreamgui.config import SweepJob, TrainJob
from dreamgui.data.dataset.opened import opened
from dreamgui.data.faces.identity import Likeness
from dreamgui.data.photos.load import load_image
from dreamgui.diffusion.generation import generated, notes_on
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.errors import DreamError, StopRequested
from dreamgui.evaluate.reference import reference_of
from dreamgui.evaluate.reports.report import write_report
from dreamgui.evaluate.reports.sweep_report import SweepRow, sweep_document
from dreamgui.events import Begun, Event, Note, Progress, Saved, Score
from dreamgui.jobs.stages import Stages
from dreamgui.models.catalog.cards import RunCard
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.models.zero_gpu import uses_device
from dreamgui.names import name_notes, numbered_names, safe_name
from dreamgui.recipes.train import train
from dreamgui.training.prompts import with_prompts
from dreamgui.training.settings import advised_sweep, begun_with
from dreamgui.training.sweep_queue import SweepQueue
from dreamgui.workspace import Workspace, read_json, write_json

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

PICTURE_STEPS = 20
SKIPPED = "skipped"
SETTINGS = "sweep.json"
MOST_RUNS = 100
"""So many names with numbers behind them are looked through for a run or sweep that was begun before."""


def sweep(job: SweepJob, workspace: Workspace, models: Models) -> Generator[Event, None, list[SweepRow]]:
    """Train every point of the grid with the same data order and seed. Each becomes a run of its own.

    A point that is finished already is left as it is, one that was broken off goes on, and one that fails is
    named while the others go on. The report in reports/NAME grows with every point. The order, and what is
    skipped or tried again, stands in reports/NAME/queue.json and may change while the sweep runs.

    Returns:
        What was found (to whoever delegates to this recipe).

    Raises:
        UnknownName: there is no such base or dataset.
        DreamError: the last failure, where every point has failed.
    """
    card = models.catalog.card(job.model)
    dataset = yield from opened(workspace, job.dataset)
    reference = reference_of(dataset)
    for sentence in reference.notes:
        yield Note(sentence)
    name = _report_name(job, workspace)
    for sentence in name_notes(job.report, name):
        yield Note(sentence)
    job, notes = with_prompts(job, dataset.instance_prompt)
    job, advice = advised_sweep(job, card)
    for sentence in notes + advice:
        yield Note(sentence)
    yield from notes_on(job.prompts, job.model, models.catalog)
    folder, points = workspace.place("reports", name), {point.run: point for point in points_of(job, name)}
    stages, rows, failures = Stages("Sweep", len(points)), [], []
    queue = SweepQueue(folder)
    queue.plan(points)
    yield Begun("sweep", name)
    # The page may change the order meanwhile, and say which are skipped or tried again.
    while (run := queue.next()) is not None:
        point = points[run]
        try:
            stage = yield from stages.run(run, _skippable(_trained(point, workspace, models), queue))
            if stage.result == SKIPPED:
                queue.mark(run, "skipped")
                yield Note(f"{run} was skipped.")
                continue
            card = models.catalog.run(_run_of(point, models.catalog).name)
            row = yield from _measured(job, card, reference.person, folder, workspace, models)
            queue.mark(run, "done")
        except StopRequested:
            queue.mark(run, "waiting")
            yield Note(f"Stopped after {len(rows)} of {len(points)} trainings; start it again to go on.")
            if not rows:
                raise
            break
        except DreamError as failure:
            queue.mark(run, "failed")
            failures.append(failure)
            yield Note(f"{point.run} failed: {failure} The sweep goes on.")
            row = SweepRow(point.run, _rank(point), point.effective_learning_rate, failed=str(failure))
        rows = [other for other in rows if other.run != row.run] + [row]
        device = models.status()["device"]
        write_report(sweep_document(job, name, rows, len(points), reference, device), folder)
        # The page shows a training's pictures with its figures.
        yield Score(row.run, row.figures)
    yield Saved("report", name, folder)
    if failures and all(row.failed for row in rows):
        raise failures[-1]
    return rows


def points_of(job: SweepJob, name: str) -> list[TrainJob]:
    """The trainings of a sweep: ranks by learning rates, then the UNet. They differ in nothing else."""
    shared = {field: getattr(job, field) for field in SweepJob.model_fields if field in TrainJob.model_fields}
    # There is too little of a LoRA to be split.
    lora: dict[str, Any] = {**shared, "method": "lora", "shard": False}
    points = [
        TrainJob(**lora, rank=rank, learning_rate=rate, run=safe_name(name, f"-r{rank}-lr{rate:g}"))
        for rank in job.ranks
        for rate in job.learning_rates
    ]
    if job.with_unet:
        unet = TrainJob(
            **shared, method="unet", learning_rate=job.unet_learning_rate, run=safe_name(name, "-unet")
        )
        points.append(unet)
    return points


def _skippable(training: Generator[Event, None, None], queue: SweepQueue) -> Generator[Event, None, str]:
    """A training that stops, and keeps what it has trained, when the queue says that it is to be skipped."""
    skipped = False
    try:
        event = next(training)
        while True:
            if not skipped and queue.skip_requested():
                skipped = True
                event = training.throw(StopRequested())
            try:
                yield event
            except StopRequested as stop:
                event = training.throw(stop)
            else:
                event = next(training)
    except StopIteration:
        return SKIPPED if skipped else ""
    except StopRequested:
        if not skipped:
            raise
        return SKIPPED


def _trained(point: TrainJob, workspace: Workspace, models: Models) -> Generator[Event, None, None]:
    """Train a point unless it is done: from its last checkpoint where there is one."""
    card = _run_of(point, models.catalog)
    if card and card.finished and card.steps >= point.steps:
        yield Note(f"{card.name} is there already, after {card.steps} steps.")
        return
    run, resume = (card.name, True) if card else (point.run, False)
    yield from train(point.model_copy(update={"run": run, "resume": resume}), workspace, models)


def _run_of(point: TrainJob, catalog: Catalog) -> RunCard | None:
    """The run that was begun with exactly this point's settings, whatever number its name has got."""
    for card in catalog.runs():
        if card.name not in islice(numbered_names(point.run), MOST_RUNS):
            continue
        # A number of class images that was left open is filled in on the card.
        begun = begun_with(card)
        open_count = {} if point.class_count else {"class_count": begun.class_count}
        if begun == point.model_copy(update={"run": card.name, **open_count}):
            return card
    return None


def _measured(
    job: SweepJob,
    card: RunCard,
    person: Likeness | None,
    folder: Path,
    workspace: Workspace,
    models: Models,
) -> Generator[Event, None, SweepRow]:
    """A finished run's figures, and its pictures. Those generated before are read again."""
    paths = [f"images/{card.name}-{number}.png" for number in range(len(job.prompts))]
    if all((folder / path).is_file() for path in paths):
        images = [load_image(folder / path) for path in paths]
    elif job.prompts:
        images = yield from _pictures(job, workspace, models, card.name)
    else:
        images = []
    return _row(card, dict(zip(paths, images, strict=True)), person)


@uses_device
def _pictures(
    job: SweepJob, workspace: Workspace, models: Models, run: str
) -> Generator[Event, None, list[Image.Image]]:
    """One picture a prompt of a finished run."""
    requests = [
        ImageRequest(prompt, seed=job.seed + n, steps=PICTURE_STEPS) for n, prompt in enumerate(job.prompts)
    ]
    with models.use(models.catalog.spec(run)) as parts:
        return (yield from generated(parts, requests, Progress(f"Generating with {run}", 0, len(requests))))


def _row(card: RunCard, pictures: dict[str, Image.Image], person: Likeness | None) -> SweepRow:
    scores = [person.score(image) for image in pictures.values()] if person else []
    found = [score for score in scores if score is not None]
    return SweepRow(
        run=card.name,
        rank=card.rank,
        learning_rate=card.learning_rate,
        seconds=card.seconds,
        file_bytes=card.file_bytes,
        loss=card.loss,
        validation=card.validation,
        likeness=sum(found) / len(found) if found else None,
        faces_found=len(found) / len(scores) if scores else None,
        pictures=pictures,
    )


def _rank(point: TrainJob) -> int | None:
    return point.rank if point.method == "lora" else None


def _report_name(job: SweepJob, workspace: Workspace) -> str:
    """The name of the same sweep that was begun before, else a fresh one: no other report is written over."""
    wanted = job.report or _usual_name(job)
    for name in islice(numbered_names(safe_name(wanted)), MOST_RUNS):
        if _is_begun(job, name, workspace.place("reports", name)):
            return name
    name = workspace.fresh("reports", wanted)
    write_json(workspace.place("reports", name) / SETTINGS, job.model_dump(mode="json"))
    return name


def _is_begun(job: SweepJob, name: str, folder: Path) -> bool:
    """Return whether this sweep was begun in this folder. Earlier versions kept the names of its runs only."""
    if (folder / SETTINGS).is_file():
        return SweepJob.model_validate(read_json(folder / SETTINGS)) == job
    return {point.run for point in SweepQueue(folder).points()} == {
        point.run for point in points_of(job, name)
    }


def _usual_name(job: SweepJob) -> str:
    """The same settings have the same name, so that a sweep that is started again goes on."""
    digest = hashlib.sha256(job.model_dump_json().encode()).hexdigest()
    return f"sweep-{job.dataset}-{digest[:6]}"
