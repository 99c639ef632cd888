"""Everything, on the bundled model and photographs: from the raw files to a report."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dreamgui.config import (
    COMPARE_PROMPTS,
    ClassImagesJob,
    CompareJob,
    ControlJob,
    ControlKind,
    ConvertJob,
    CropJob,
    DemoJob,
    GenerationSettings,
    JobConfig,
    TrainJob,
)
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.faces.body import detect_body
from dreamgui.data.photos.load import load_image
from dreamgui.diffusion.control.control_image import leading_square
from dreamgui.diffusion.control.control_maps import visible_points
from dreamgui.errors import BadInput
from dreamgui.evaluate.comparison import Comparison
from dreamgui.evaluate.reports.control_report import ControlResult
from dreamgui.evaluate.reports.demo_report import DemoResult, demo_document
from dreamgui.evaluate.reports.report import write_report
from dreamgui.events import Event, Note, Saved
from dreamgui.jobs.stages import Stages
from dreamgui.models.sources.demo_bundle import demo_card, demo_photos
from dreamgui.recipes.class_images import class_images
from dreamgui.recipes.compare import compare
from dreamgui.recipes.control import control
from dreamgui.recipes.convert import convert
from dreamgui.recipes.crop import crop
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

RANKS = (4, 8, 16)
CONTROLS: tuple[ControlKind, ...] = ("canny", "pose")
WITHOUT_PRIOR = "unet_without_prior"
"""Where the card has settings for this, the UNet is trained once more, to show what the prior loss does."""
SHORTER = "{}_in_the_demo"
"""What the card says of the demo's trainings alone: there are five, and all is to be done within minutes."""
_INSTANCE_PROMPT = "a photo of sks woman face"
_QUICK_TRAIN = {"steps": 3, "batch_size": 1, "sample_every": 0, "warmup_steps": 0}
_QUICK_CLASS = {"class_count": 4}
_QUICK_GENERATION = {"steps": 3}
_ARMS = [3, 4, 6, 7]
_DISK_BYTES = 500_000_000


def demo(job: DemoJob, workspace: Workspace, models: Models) -> Generator[Event, None, None]:
    """Crop, convert, generate class images, train the UNet and three LoRAs, compare, generate with ControlNet, report.

    Settings are those that the bundled model's card recommends.

    Raises:
        BadInput: ``out`` can't take a report.
    """
    out = _report_folder(job.out)
    workspace.require_space(_DISK_BYTES, "The demo")
    card, photographs = demo_card(), demo_photos()
    recommended = _Recommended(card.get("recommended", {}), job.quick)
    trainings = _trainings(job, recommended)
    stages = Stages("The whole demo", 4 + len(trainings) + len(CONTROLS))

    crop_job = CropJob(
        photos=tuple(photographs),
        dataset="demo",
        size_px=card["size_px"],
        instance_prompt=recommended.instance_prompt,
    )
    cropping = yield from stages.run("cut the photographs", crop(crop_job, workspace, models))
    dataset = Dataset.load(cropping.path("dataset"))

    convert_job = ConvertJob(source="demo")
    converting = yield from stages.run("convert the checkpoint", convert(convert_job, workspace, models))
    model = converting.name("model")

    class_job = ClassImagesJob.model_validate(
        {**recommended.class_images(), "model": model, "dataset": dataset.folder.name}
    )
    classing = yield from stages.run("generate class images", class_images(class_job, workspace, models))

    runs: dict[str, str] = {}
    for title, settings in trainings.items():
        train_job = TrainJob.model_validate({**settings, "model": model, "dataset": dataset.folder.name})
        training = yield from stages.run(title, train(train_job, workspace, models))
        runs[training.name("run")] = title

    generation_settings = {
        **recommended.of("generate", GenerationSettings, _QUICK_GENERATION),
        "seed": job.seed,
    }
    compare_job = CompareJob.model_validate(
        {
            **generation_settings,
            "models": (model, *runs),
            "prompts": [
                prompt.replace(_INSTANCE_PROMPT, recommended.instance_prompt) for prompt in COMPARE_PROMPTS
            ],
            "dataset": dataset.folder.name,
            "report": "demo",
        }
    )
    comparing = yield from stages.run("compare", compare(compare_job, workspace, models))
    comparison: Comparison = comparing.result

    control_results: list[ControlResult] = []
    leaders = _leaders(dataset, photographs)
    best = [row.name for row in (comparison.best("unet"), comparison.best("lora")) if row]
    for kind in CONTROLS:
        control_job = ControlJob.model_validate(
            {
                **generation_settings,
                "image": leaders[kind],
                "control": kind,
                "fit": "crop",
                "prompt": compare_job.prompts[0],
                "models": (model, *best),
                "report": f"demo-{kind}",
            }
        )
        try:
            generation = yield from stages.run(f"ControlNet: {kind}", control(control_job, workspace, models))
            control_results.append(generation.result)
        except BadInput as error:
            yield Note(f"The report has no {kind} picture: {error}")

    result = DemoResult(
        quick=job.quick,
        size_px=card["size_px"],
        crops=[
            (load_image(dataset.path(entry)), entry.framing) for entry in dataset.entries if not entry.dropped
        ],
        photographs=len(photographs),
        class_pictures=len(classing.result),
        comparison=comparison,
        control_results=control_results,
        losses={run: stages.losses[title] for run, title in runs.items()},
        seconds=stages.seconds,
    )
    write_report(demo_document(result), out)
    yield Saved("report", out.name, out)


def _report_folder(out: Path) -> Path:
    """The folder, made if needed, if it is empty or holds an earlier report.

    Raises:
        BadInput: it is a file, can't be written, or holds something else.
    """
    out = out.expanduser().absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
        report, taken = out / "report.json", any(out.iterdir())
        if taken and json.loads(report.read_bytes() if report.exists() else b"{}").get("kind") != "demo":
            raise BadInput(f"The folder {out} holds other files.", "Name a new folder for the report.")
    except (OSError, ValueError) as error:
        raise BadInput(
            f"No report can be written to {out}: {error}.", "Name a new folder for the report."
        ) from error
    return out


class _Recommended:
    """Recommendations of the model card, by use, in a quick demo a few steps of it."""

    def __init__(self, recommended: Mapping[str, Mapping[str, Any]], quick: bool) -> None:
        self.recommended = recommended
        self.quick = quick
        self.instance_prompt = recommended.get("unet", {}).get("instance_prompt", _INSTANCE_PROMPT)

    def of(self, use: str, job: type[JobConfig], quick: Mapping[str, Any]) -> dict[str, Any]:
        """Settings for this use, as far as the job has such fields."""
        recommended = {**self.recommended.get(use, {}), **(quick if self.quick else {})}
        return {name: value for name, value in recommended.items() if name in job.model_fields}

    def class_images(self) -> dict[str, Any]:
        """Settings of the class images that a training has too: with others it would generate its own."""
        return self.of("class_images", TrainJob, _QUICK_CLASS)


def _trainings(job: DemoJob, recommended: _Recommended) -> dict[str, dict[str, Any]]:
    """Fields of each TrainJob by the title of its stage, without model and dataset."""
    shared = {**recommended.class_images(), "instance_prompt": recommended.instance_prompt, "seed": job.seed}
    unet, lora = (
        {
            **recommended.of(method, TrainJob, {}),
            **recommended.of(SHORTER.format(method), TrainJob, _QUICK_TRAIN),
            **shared,
            "method": method,
        }
        for method in ("unet", "lora")
    )
    trainings = {"train the full UNet": {**unet, "run": "demo-unet"}}
    if WITHOUT_PRIOR in recommended.recommended:
        other = recommended.of(WITHOUT_PRIOR, TrainJob, _QUICK_TRAIN)
        run = {"run": "demo-unet-no-prior", "prior_preservation": False}
        trainings["train the full UNet without prior preservation"] = {**unet, **other, **run}
    for rank in RANKS:
        trainings[f"train a LoRA of rank {rank}"] = {**lora, "rank": rank, "run": f"demo-lora-{rank}"}
    return trainings


def _leaders(dataset: Dataset, photographs: Sequence[Path]) -> dict[ControlKind, Path]:
    """Return which photograph leads: by its edges a close-up, by its pose the one whose arms are seen best."""
    files = {file.name: file for file in photographs}
    entries = [entry for entry in dataset.entries if not entry.dropped]
    close = next((entry for entry in entries if entry.framing == "close-up"), entries[0])
    medium = [entry for entry in entries if entry.framing == "medium"] or entries
    posed = max(medium, key=lambda entry: _arms_seen(load_image(files[entry.source])))
    return {"canny": files[close.source], "pose": files[posed.source]}


def _arms_seen(image: Image.Image) -> int:
    """Return how many elbows and wrists are seen in the square that would be the control image."""
    square = image.crop(leading_square(image))
    body = detect_body(square)
    return 0 if body is None else int(np.count_nonzero(visible_points(body, square.size)[_ARMS]))
