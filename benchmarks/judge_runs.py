"""Rows of judge.py on a run of the bundled model: memorising, and the time of comparisons."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dreamgui.assets import asset
from dreamgui.config import COMPARE_PROMPTS, CompareJob, ConvertJob, CropJob, TrainJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.evaluate.comparison import Comparison
from dreamgui.evaluate.reports.plane_report import plane_data
from dreamgui.evaluate.statistics import paired_difference
from dreamgui.events import Event
from dreamgui.models.manager import Models
from dreamgui.recipes.compare import compare
from dreamgui.recipes.convert import convert
from dreamgui.recipes.crop import crop
from dreamgui.recipes.train import train as trained
from dreamgui.workspace import Workspace

RUN, STEPS, EVERY, ASIDE, PHOTOS = "long", 400, 40, 4, 11
EARLY = 2 * EVERY
"""A fifth of all steps."""


def _models(home: Path) -> Models:
    torch.set_num_threads(2)
    return Models(Workspace(home), torch.device("cpu"))


def train(home: Path) -> Mapping[str, Any]:
    """Seven photographs, four set aside, a LoRA of rank 16 without prior preservation, ten kept models."""
    models, began = _models(home), time.monotonic()
    workspace = models.catalog.workspace
    if RUN not in workspace.names("runs"):
        photos = tuple(sorted(asset("demo/photos").glob("*.jpg"))[:PHOTOS])
        list(crop(CropJob(photos=photos, dataset="anna", size_px=160, hold_out=False), workspace, models))
        dataset = Dataset.load(workspace.find("datasets", "anna"))
        uploads = list(dict.fromkeys(entry.upload for entry in dataset.entries))[:ASIDE]
        for entry in [each for each in dataset.entries if each.upload in uploads]:
            dataset.hold_out(entry.file)
        list(convert(ConvertJob(source="demo"), workspace, models))
        job = TrainJob(
            model=models.catalog.bases()[0], dataset="anna", run=RUN, rank=16, lora_targets="attention+conv",
            learning_rate=0.006, steps=STEPS, batch_size=1, prior_preservation=False, snapshot_every=EVERY,
            sample_every=0, validate_every=0, checkpoint_every=STEPS, checkpoint_seconds=3600,
        )  # fmt: skip
        list(trained(job, workspace, models))
    card = models.catalog.run(RUN)
    return {
        "what": "a run that trains five times too long, to judge",
        "must": "trained, with ten models kept on its way",
        "measured": {
            "steps": card.steps,
            "kept": len(models.catalog.kept_models(RUN)),
            "train_seconds": card.seconds,
        },
        "reached": card.finished,
        "note": f"The training took {card.seconds:.0f} s beside other work; {time.monotonic() - began:.0f} s in this call.",
    }


def _compared(home: Path, names: tuple[str, ...], **settings: Any) -> tuple[Comparison, float]:
    """A comparison that generates every picture, and its seconds."""
    models, began = _models(home), time.monotonic()
    job = CompareJob(
        models=names,
        prompts=COMPARE_PROMPTS,
        dataset="anna",
        steps=20,
        guidance_scale=3.0,
        reuse=False,
        **settings,
    )
    events = compare(job, models.catalog.workspace, models)
    return _result(events), time.monotonic() - began


def _result(events: Any) -> Comparison:
    try:
        while True:
            event: Event = next(events)
            assert event is not None
    except StopIteration as ended:
        return ended.value


def memorising(home: Path) -> Mapping[str, Any]:
    """The last model against the one at a fifth of its steps, by the same prompts and two seeds."""
    base = _models(home).catalog.bases()[0]
    early = f"{RUN}@{EARLY}"
    comparison, _ = _compared(home, (base, early, RUN), seeds=2, report="memorising")
    gaps = {name: comparison.figures(name)["memorising"] for name in (base, early, RUN)}
    difference = paired_difference(
        comparison.scores(RUN, "memorising"), comparison.scores(early, "memorising")
    )
    copied = {name: len(pairs) for name, pairs in comparison.copies.items()}
    rises = difference is not None and difference.interval.mean > 0
    return {
        "what": f"memorising rises from step {EARLY} to step {STEPS}",
        "must": "higher after five times the steps",
        "measured": {
            "memorising": {name: gap and round(gap, 4) for name, gap in gaps.items()},
            "difference": difference and difference.interval.text("+"),
            "copies": copied,
        },
        "reached": rises,
        "note": "The mean rises; the interval says whether beyond the noise of ten pictures.",
    }


def times(home: Path) -> Mapping[str, Any]:
    """Five prompts, four models, 20 steps, all numbers, class pictures and the report."""
    base = _models(home).catalog.bases()[0]
    names = (base, f"{RUN}@{EARLY}", f"{RUN}@{4 * EVERY}", RUN)
    began = time.process_time()
    comparison, seconds = _compared(home, names, report="times")
    cpu = time.process_time() - began
    pictures = len(comparison.cells) + len(comparison.class_cells)
    return {
        "what": "5 prompts x 4 models at 20 steps with all numbers",
        "must": "60 s on two cores",
        "measured": {"wall_seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "pictures": pictures},
        "reached": seconds <= 60,
        "note": f"{pictures} pictures, {len(comparison.class_cells)} of them of the class. {cpu:.0f} s of computing are "
        f"{cpu / 2:.0f} s on two cores that do nothing else; load_average says what else ran.",
    }


def plane(home: Path) -> Mapping[str, Any]:
    """Eight checkpoints beside their base."""
    models = _models(home)
    base = models.catalog.bases()[0]
    names = (base, *models.catalog.kept_models(RUN)[-7:], RUN)
    began = time.process_time()
    comparison, seconds = _compared(home, names, report="plane")
    cpu = time.process_time() - began
    told = plane_data(comparison)
    return {
        "what": "the plane of 8 checkpoints, 5 prompts at 20 steps, with its base",
        "must": "180 s on two cores",
        "measured": {
            "wall_seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1),
            "suggestions": json.loads(json.dumps(told and told["suggestions"])),
        },
        "reached": seconds <= 180,
        "note": f"{cpu:.0f} s of computing are {cpu / 2:.0f} s on two cores that do nothing else.",
    }  # fmt: skip
