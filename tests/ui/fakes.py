"""Recipes that keep to the contract without any model, so that the page can be tested in seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageDraw

from dreamgui.config import ClassImagesJob, CompareJob, ControlJob, ConvertJob, CropJob, JobConfig, TrainJob
from dreamgui.data.crop import Photograph, square_crop
from dreamgui.data.dataset import Dataset
from dreamgui.data.faces import Face
from dreamgui.data.framing import place
from dreamgui.errors import BadModelFile, StopRequested
from dreamgui.events import (
    Cell,
    ClassImage,
    Cropped,
    Event,
    Hint,
    Loss,
    Note,
    Progress,
    Sampled,
    Saved,
    Score,
    Skipped,
)
from dreamgui.jobs import Jobs
from dreamgui.models.cards import ModelCard, RunCard, write_model, write_run
from dreamgui.services import Services
from dreamgui.workspace import Workspace

STEP_SECONDS = 0.01
FACE = (70.0, 40.0, 130.0, 110.0)


def picture(text: str, hue: int = 0, size_px: int = 128) -> Image.Image:
    """A coloured square with a text."""
    image = Image.new("RGB", (size_px, size_px), f"hsl({hue % 360},45%,55%)")
    drawing = ImageDraw.Draw(image)
    drawing.ellipse(
        (size_px * 0.3, size_px * 0.2, size_px * 0.7, size_px * 0.7), fill=f"hsl({(hue + 30) % 360},40%,80%)"
    )
    drawing.text((6, size_px - 16), text, fill="white")
    return image


def add_base(workspace: Workspace, name: str = "portraits") -> None:
    """A base model's folder with everything but weights."""
    folder = workspace.place("models", name)
    for part in ("unet/config.json", "vae/config.json", "text_encoder/config.json", "tokenizer/vocab.json"):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text("{}")
    (folder / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"")
    advice = {
        "unet": {"steps": 300, "learning_rate": 5e-5},
        "lora": {"steps": 400, "learning_rate": 1e-3, "rank": 8},
    }
    write_model(folder, ModelCard(name=name, family="demo", size_px=128, source="demo", recommended=advice))


def fake_services(root: Path, step_seconds: float = STEP_SECONDS) -> Services:
    """Services whose jobs run the recipes below."""
    services = Services(Workspace(root))
    workspace = services.workspace

    def crop(job: CropJob) -> Iterator[Event]:
        name = workspace.fresh("datasets", job.dataset)
        uploads = workspace.place("uploads", name)
        uploads.mkdir()
        dataset = Dataset.create(workspace.place("datasets", name), 128, 8.0, job.instance_prompt, name)
        for number, photo in enumerate(job.photos):
            if photo.suffix == ".txt":
                yield Skipped(photo.name, f"{photo.name} isn't a photograph.")
                continue
            image = picture(photo.stem, 40 * number, 200)
            image.save(uploads / f"{number:04d}.png")
            face = Face(FACE, 0.9, ())
            kept = Photograph(
                source=photo.name, kept=uploads / f"{number:04d}.png", size=(200, 200), face=face, others=()
            )
            placement = place("close-up", FACE, (200, 200), 128, 8.0)
            entry = dataset.add(kept, placement, square_crop(image, placement.box, 128))
            yield Cropped(photo.name, dataset.path(entry), entry.box, entry.framing, entry.score)
            yield Progress("Cutting crops", number + 1, len(job.photos))
        yield Saved("dataset", name, dataset.folder)

    def convert(job: ConvertJob) -> Iterator[Event]:
        if job.source != "demo":
            raise BadModelFile(
                f"{Path(job.source).name} is a web page, not a model.", "Download the file again."
            )
        name = workspace.fresh("models", job.model or "portraits")
        yield Progress("Converting", 1, 2)
        add_base(workspace, name)
        yield Saved("model", name, workspace.place("models", name))

    def class_images(job: ClassImagesJob) -> Iterator[Event]:
        for index in range(job.class_count):
            time.sleep(step_seconds)
            yield ClassImage(index, picture(str(index), index * 17))
            yield Progress("Drawing class images", index + 1, job.class_count)

    def train(job: TrainJob) -> Iterator[Event]:
        name = workspace.fresh("runs", job.run or f"{job.dataset}-{job.method}")
        prompts = job.sample_prompts
        step = 0
        try:
            for step in range(1, job.steps + 1):
                time.sleep(step_seconds)
                trend = 0.08 + 0.1 * math.exp(-step / 100)
                yield Loss(
                    step,
                    trend * (1 + math.sin(step) / 3),
                    trend * (0.8 + math.cos(step) / 4),
                    1e-4,
                    1.0,
                    step_seconds,
                )
                yield Progress("Training", step, job.steps)
                if job.sample_every and step % job.sample_every == 0:
                    for prompt in prompts:
                        yield Sampled(step, prompt, job.seed, picture(f"{step}", step))
        except StopRequested:
            yield Note(f"Stopped after {step} steps; what was learnt so far is kept.")
        folder = workspace.place("runs", name)
        card = RunCard(
            name=name,
            kind=job.method,
            base=job.model,
            dataset=job.dataset,
            rank=job.rank,
            alpha=job.effective_alpha,
            learning_rate=job.effective_learning_rate,
            steps=step,
            seconds=step * step_seconds,
            file_bytes=123_456,
            finished=True,
            job=job.model_dump(mode="json"),
        )
        write_run(folder, card)
        yield Saved("run", name, folder)

    def compare(job: CompareJob) -> Iterator[Event]:
        for row, model in enumerate(job.models):
            for column, prompt in enumerate(job.prompts):
                time.sleep(5 * step_seconds)
                score: dict[str, float | None] = {"likeness": 0.3 + 0.15 * row}
                yield Cell(
                    model, prompt, job.seed + column, picture(model[:8], 60 * row + 25 * column), score
                )
            likeness = 0.3 + 0.15 * row
            low, high = likeness - 0.05, likeness + 0.05
            yield Score(model, {"likeness": likeness, "likeness_low": low, "likeness_high": high})
        yield from report(job.report or "compare")

    def control(job: ControlJob) -> Iterator[Event]:
        yield Hint(job.control, picture(job.control, 200))
        for row, model in enumerate(job.models):
            yield Cell(model, job.prompt, job.seed, picture(model[:8], 60 * row))
        yield from report(job.report or "control")

    def report(wish: str) -> Iterator[Event]:
        folder = workspace.place("reports", workspace.fresh("reports", wish))
        folder.mkdir()
        (folder / "README.md").write_text("A report.")
        yield Saved("report", folder.name, folder)

    recipes = {
        "crop": crop, "convert": convert, "class_images": class_images, "train": train, "compare": compare,
        "control": control,
    }  # fmt: skip
    services.jobs = Jobs(workspace, _as_recipes(recipes))
    return services


def _as_recipes(
    recipes: dict[str, Callable[..., Iterator[Event]]],
) -> dict[str, Callable[[JobConfig], Iterator[Event]]]:
    return dict(recipes)
