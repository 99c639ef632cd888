"""Train several ranks and learning rates from one plan, and put them side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dreamgui.config import SweepJob, TrainJob
from dreamgui.data.dataset import Dataset
from dreamgui.data.photos import load_image
from dreamgui.diffusion.sample import Draw
from dreamgui.errors import BadPhoto, DreamError, StopRequested
from dreamgui.evaluate.identity import Likeness
from dreamgui.evaluate.report import write_report
from dreamgui.evaluate.sweep_report import SweepRow, sweep_document
from dreamgui.events import Begun, Event, Note, Progress, Saved, Score
from dreamgui.models.cards import RunCard
from dreamgui.models.catalog import Catalog
from dreamgui.recipes.drawn import drawn
from dreamgui.recipes.stages import Stages
from dreamgui.recipes.sweep_queue import SweepQueue
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace, safe_name

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

DRAW_STEPS = 20
SKIPPED = "skipped"


def sweep(job: SweepJob, workspace: Workspace, models: Models) -> Generator[Event, None, list[SweepRow]]:
    """Train every point of the grid with the same data order and seed; each becomes a run of its own.

    A point that is finished already is left as it is, one that was broken off goes on, and one that fails is
    named while the others go on. The report in reports/NAME grows with every point. The order, and what is
    skipped or tried again, stands in reports/NAME/queue.json and may change while the sweep runs.

    Returns:
        What was found (to whoever delegates to this recipe).

    Raises:
        UnknownName: there is no such base or data set.
        DreamError: the last failure, where every point has failed.
    """
    models.catalog.card(job.model)
    person = _person(Dataset.load(workspace.find("datasets", job.dataset)))
    if person is None:
        yield Note("No face was found in the data set's pictures, so likeness isn't measured.")
    name = safe_name(job.report or _usual_name(job))
    folder, points = workspace.place("reports", name), {point.run: point for point in plan(job, name)}
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
            row = yield from _measured(job, card, person, folder, models)
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
        yield Score(row.run, row.figures)
        write_report(sweep_document(job, name, rows, len(points), models.status()["device"]), folder)
    yield Saved("report", name, folder)
    if failures and all(row.failed for row in rows):
        raise failures[-1]
    return rows


def plan(job: SweepJob, name: str) -> list[TrainJob]:
    """The trainings of a sweep: ranks by learning rates, then the UNet; they differ in nothing else."""
    shared = {field: getattr(job, field) for field in SweepJob.model_fields if field in TrainJob.model_fields}
    # There is too little of a LoRA to be split.
    lora: dict[str, Any] = {**shared, "method": "lora", "shard": False}
    points = [
        TrainJob(**lora, rank=rank, learning_rate=rate, run=f"{name}-r{rank}-lr{rate:g}")
        for rank in job.ranks
        for rate in job.learning_rates
    ]
    if job.with_unet:
        unet = TrainJob(**shared, method="unet", learning_rate=job.unet_learning_rate, run=f"{name}-unet")
        points.append(unet)
    return points


def _skippable(training: Generator[Event, None, None], queue: SweepQueue) -> Generator[Event, None, str]:
    """A training that stops, and keeps what it has learnt, when the queue says that it is to be skipped."""
    skipped = False
    try:
        event = next(training)
        while True:
            if not skipped and queue.skip_wished():
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
    run, resume = (card.name, True) if card else (workspace.fresh("runs", point.run), False)
    yield from train(point.model_copy(update={"run": run, "resume": resume}), workspace, models)


def _run_of(point: TrainJob, catalog: Catalog) -> RunCard | None:
    """The run that was begun with exactly this point's settings, whatever number its name has got."""
    for card in catalog.runs():
        same_name = card.name == point.run or card.name.startswith(f"{point.run}-")
        if same_name and TrainJob.model_validate(card.job) == point.model_copy(update={"run": card.name}):
            return card
    return None


def _measured(
    job: SweepJob, card: RunCard, person: Likeness | None, folder: Path, models: Models
) -> Generator[Event, None, SweepRow]:
    """A finished run's figures, and its pictures; those drawn before are read again."""
    paths = [f"images/{card.name}-{number}.png" for number in range(len(job.prompts))]
    requests = [Draw(prompt, seed=job.seed + n, steps=DRAW_STEPS) for n, prompt in enumerate(job.prompts)]
    if all((folder / path).is_file() for path in paths):
        images = [load_image(folder / path) for path in paths]
    elif requests:
        progress = Progress(f"Drawing with {card.name}", 0, len(requests))
        with models.use(models.catalog.spec(card.name)) as parts:
            images = yield from drawn(parts, requests, progress)
    else:
        images = []
    return _row(card, dict(zip(paths, images, strict=True)), person)


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


def _person(dataset: Dataset) -> Likeness | None:
    """The person in the data set, from held-out photographs where there are some; None without a face."""
    try:
        return Likeness(load_image(path) for path, _ in dataset.held_out() or dataset.images())
    except BadPhoto:
        return None


def _usual_name(job: SweepJob) -> str:
    """The same settings have the same name, so that a sweep that is started again goes on."""
    digest = hashlib.sha256(job.model_dump_json().encode()).hexdigest()
    return f"sweep-{job.dataset}-{digest[:6]}"
