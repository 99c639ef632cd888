"""Fakes of the workshop's recipes, of an added LoRA, of a tried step and of a sweep; beside tests/ui/fakes.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image

from dreamgui.config import (
    ExportJob,
    ExtractJob,
    ImportJob,
    JobConfig,
    KeepJob,
    MergeJob,
    Method,
    MixJob,
    PreflightJob,
    PushJob,
    ResizeJob,
    SweepJob,
    TokensJob,
)
from dreamgui.errors import StopRequested
from dreamgui.events import Begun, Cell, Event, Note, Progress, Saved, Score
from dreamgui.models.catalog.cards import RunCard, certificate_place, write_run
from dreamgui.recipes.sweep import points_of
from dreamgui.training.sweep_queue import SweepQueue
from dreamgui.workspace import EXPORTS, Workspace, write_json

Recipe = Callable[[Any], Iterator[Event]]


def workshop_recipes(
    workspace: Workspace, picture: Callable[[str, int], Image.Image], train: Recipe
) -> dict[str, Recipe]:
    """Recipes by kind; ``picture`` makes one of a text and a hue, ``train`` is the fake training."""

    def made_run(job: JobConfig, wanted: str, kind: Method) -> Saved:
        name = workspace.fresh("runs", wanted)
        folder = workspace.place("runs", name)
        card = RunCard(
            name=name, kind=kind, base="portraits", learning_rate=0.0, steps=0, finished=True,
            file_bytes=1, job={"made": {"kind": job.kind}},
        )  # fmt: skip
        write_run(folder, card)
        return Saved("run", name, folder)

    def export(job: ExportJob) -> Iterator[Event]:
        for number, text in enumerate(("portraits", f"{job.model}, live", f"{job.model}, exported")):
            yield Progress("Exporting", number, 3)
            yield Cell(text, "a photo", 0, picture(text[:8], 90 * number))
        yield Score(f"{job.model} as {job.format}", {"mean difference": 0.0, "largest difference": 0.0})
        target = job.out or workspace.root / EXPORTS / f"{job.model}-{job.format}.safetensors"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"weights")
        write_json(certificate_place(target), {"passed": True})
        yield Saved("export", target.name, target)

    def push(job: PushJob) -> Iterator[Event]:
        for event in export(ExportJob(model=job.model, format="lora-diffusers", out=workspace.root / "push")):
            if not isinstance(event, Saved):
                yield event
        yield Progress("Uploading README.md", 0, 1)
        yield Note(f"{job.model} is at https://huggingface.co/anna/{job.repo or job.model}; only you see it.")

    def import_(job: ImportJob) -> Iterator[Event]:
        yield Progress("Reading", 0, 2)
        yield made_run(job, job.run or job.file.stem, "lora")

    def merge(job: MergeJob) -> Iterator[Event]:
        yield Progress("Merging", 0, 1)
        yield made_run(job, job.run or f"{job.lora}-in-{job.model or 'portraits'}", "unet")

    def extract(job: ExtractJob) -> Iterator[Event]:
        yield Progress("Finding singular values", 0, 1)
        saved = made_run(job, job.run or f"{job.trained}-r{job.rank}", "lora")
        yield Score(saved.name, {"captured at rank 1": 0.5})
        yield saved

    def resize(job: ResizeJob) -> Iterator[Event]:
        yield Progress("Finding singular values", 0, 1)
        saved = made_run(job, job.run or f"{job.lora}-r{job.rank}", "lora")
        yield Score(saved.name, {"captured at rank 1": 0.5})
        yield saved

    def mix(job: MixJob) -> Iterator[Event]:
        yield Progress("Mixing", 0, 1)
        yield made_run(job, job.run or f"{job.first}-{job.second}-{job.weight:g}", "unet")

    def keep(job: KeepJob) -> Iterator[Event]:
        yield Progress("Keeping", 0, 1)
        yield made_run(job, job.run or job.model, "lora")

    def tokens(job: TokensJob) -> Iterator[Event]:
        yield Note(f"{job.token} is one token.")
        yield Score(job.token, {"tokens": 1.0, "rarity": 0.5})
        for number in range(job.count):
            yield Progress("Generating the token", number, job.count)
            text = f"a photo of {job.token}"
            yield Cell(job.model, text, job.seed + number, picture(job.token, 70 * number))

    def preflight(job: PreflightJob) -> Iterator[Event]:
        yield Progress("Trying one step", 0, 5)
        yield Note(f"It fits. {job.steps} steps of 0.01 s.")
        yield Score("preflight", {"step_seconds": 0.01, "disk_bytes": 1.0})

    def sweep(job: SweepJob) -> Iterator[Event]:
        name = workspace.fresh("reports", job.report or "sweep")
        folder = workspace.place("reports", name)
        points = {point.run: point for point in points_of(job, name)}
        queue = SweepQueue(folder)
        queue.plan(points)
        yield Begun("sweep", name)
        while (run := queue.next()) is not None:
            for event in train(points[run]):
                try:
                    yield event
                except StopRequested:
                    queue.mark(run, "waiting")
                    raise
            queue.mark(run, "done")
            (folder / "images").mkdir(exist_ok=True)
            for number in range(len(job.prompts)):
                picture(run[-8:], 50 * number).save(folder / "images" / f"{run}-{number}.png")
            yield Score(run, {"loss": 0.08, "seconds": 1.0, "likeness": 0.1 * len(queue.points())})
        (folder / "README.md").write_text("A sweep.")
        yield Saved("report", name, folder)

    return {
        "export": export, "import": import_, "push": push, "merge": merge, "extract": extract, "resize": resize, "mix": mix,
        "keep": keep,
        "tokens": tokens, "preflight": preflight, "sweep": sweep,
    }  # fmt: skip
