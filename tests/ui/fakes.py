"""Recipes that keep to the contract without any model, so that the page can be tested in seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageDraw

from dreamgui.config import (
    ClassImagesJob,
    CompareJob,
    ControlJob,
    ConvertJob,
    CropJob,
    GenerateJob,
    JobConfig,
    TrainJob,
)
from dreamgui.data.crop import Photograph, square_crop
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.faces.detect import Face
from dreamgui.data.framing import place
from dreamgui.errors import BadModelFile, StopRequested
from dreamgui.events import (
    Begun,
    Cell,
    ClassImage,
    ControlMap,
    Cropped,
    Event,
    Loss,
    Note,
    Preview,
    Progress,
    Sampled,
    SampleLikeness,
    Saved,
    Score,
    Skipped,
)
from dreamgui.models.catalog.cards import ModelCard, RunCard, write_model, write_run
from dreamgui.pictures.made import Made
from dreamgui.pictures.store import keep_picture
from dreamgui.services import Services, VisitorServices
from dreamgui.workspace import Workspace, write_json
from tests.ui.workshop_fakes import workshop_recipes

STEP_SECONDS = 0.01
FACE = (70.0, 40.0, 130.0, 110.0)


def picture(text: str, hue: int = 0, size_px: int = 128) -> Image.Image:
    """A coloured square with a text."""
    image = Image.new("RGB", (size_px, size_px), f"hsl({hue % 360},45%,55%)")
    canvas = ImageDraw.Draw(image)
    canvas.ellipse(
        (size_px * 0.3, size_px * 0.2, size_px * 0.7, size_px * 0.7), fill=f"hsl({(hue + 30) % 360},40%,80%)"
    )
    canvas.text((6, size_px - 16), text, fill="white")
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
    return Services(Workspace(root), lambda workspace, _models: fake_recipes(workspace, step_seconds))


def fake_visitor_services(root: Path, step_seconds: float = STEP_SECONDS) -> VisitorServices:
    """The same for a page that strangers reach."""
    return VisitorServices(Workspace(root), lambda workspace, _models: fake_recipes(workspace, step_seconds))


def fake_recipes(
    workspace: Workspace, step_seconds: float
) -> dict[str, Callable[[JobConfig], Iterator[Event]]]:
    """Recipes by kind that tell what the real ones tell (tests/ui/test_fakes.py compares them)."""

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
        folder = workspace.place("classes", "generated")
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(job.class_count):
            time.sleep(step_seconds)
            file = folder / f"{index:04d}.png"
            picture(str(index), index * 17).save(file)
            yield ClassImage(index, file)
            yield Progress("Generating class images", index + 1, job.class_count)
        yield Saved("class images", folder.name, folder)

    def train(job: TrainJob) -> Iterator[Event]:
        name = workspace.fresh("runs", job.run or f"{job.dataset}-{job.method}")
        folder = workspace.place("runs", name)
        step = 0
        yield Begun("run", name)
        try:
            if job.sample_every:
                yield from samples(job, 0)
            for step in range(1, job.steps + 1):
                time.sleep(step_seconds)
                trend = 0.08 + 0.1 * math.exp(-step / 100)
                yield Loss(
                    step,
                    trend * (1 + math.sin(step) / 3),
                    trend * (0.8 + math.cos(step) / 4) if job.prior_preservation else None,
                    1e-4,
                    1.0,
                    step_seconds,
                )
                yield Progress("Training", step, job.steps)
                if job.sample_every and step % job.sample_every == 0:
                    yield from samples(job, step)
                if step % job.checkpoint_every == 0 and step < job.steps:
                    checkpoint = f"step-{step:06d}"
                    yield Saved("checkpoint", checkpoint, folder / "checkpoints" / checkpoint)
        except StopRequested:
            yield Note(f"Stopped after {step} steps; the trained weights so far are kept.")
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

    def samples(job: TrainJob, step: int) -> Iterator[Event]:
        for number, prompt in enumerate(job.sample_prompts):
            yield Sampled(step, prompt, job.seed + number, picture(f"{step}", step))
        yield SampleLikeness(step, min(0.6, 0.2 + step / 1000), 2, 2)

    def compare(job: CompareJob) -> Iterator[Event]:
        total = len(job.models) * len(job.prompts) * job.seeds
        yield Progress("Comparing", 0, total)
        done = 0
        for row, model in enumerate(job.models):
            for number in range(job.seeds):
                for column, prompt in enumerate(job.prompts):
                    time.sleep(5 * step_seconds)
                    score: dict[str, float | None] = {"likeness": 0.3 + 0.15 * row}
                    image = picture(model[:8], 60 * row + 25 * column + 100 * number)
                    yield Cell(model, prompt, job.seed_of(column, number), image, score)
                    yield Progress("Comparing", done := done + 1, total)
            likeness = 0.3 + 0.15 * row
            low, high = likeness - 0.05, likeness + 0.05
            yield Score(model, {"likeness": likeness, "likeness_low": low, "likeness_high": high})
        yield from report(job.report or "compare", compared(job))

    def compared(job: CompareJob) -> dict[str, object]:
        """What report.json holds of the fake comparison."""
        rows = [
            {
                "name": model, "kind": "lora" if row else "base", "base": "portraits", "model": model, "steps": 10 * row,
                "strength": job.strengths[0] if job.strengths and row else None,
                "likeness": 0.3 + 0.15 * row, "likeness_low": 0.25 + 0.15 * row, "likeness_high": 0.35 + 0.15 * row,
            }
            for row, model in enumerate(job.models)
        ]  # fmt: skip
        told = [
            {
                "run": job.models[-1],
                "model": job.models[-1],
                "sentence": f"{job.models[-1]} is the most alike.",
            }
        ]
        settings = {
            "kind": "compare",
            "models": rows,
            "settings": job.model_dump(mode="json"),
            "seconds": 1.0,
        }
        return {**settings, "plane": {"suggestions": told}}

    def generate(job: GenerateJob) -> Iterator[Event]:
        yield Progress("Generating", 0, job.count * job.steps)
        for number in range(job.count):
            seed = max(job.seed, 0) + number
            yield Preview(picture("...", 30 * number, 32))
            yield Progress("Generating", (number + 1) * job.steps, job.count * job.steps)
            made = Made(
                job.prompt, job.negative_prompt, job.steps, job.scheduler, 5.0, seed, (128, 128), job.model
            )
            data = job.model_dump(mode="json", exclude={"image", "mask", "out", "count"}) | {"seed": seed}
            figures: dict[str, float | None] = {}
            if job.face_pass:
                before = picture("before", 30 * number)
                yield Cell(f"{job.model}, before the face pass", job.prompt, seed, before, {"likeness": 0.4})
                figures = {"likeness": 0.6, "likeness_before": 0.4}
            path = keep_picture(workspace, picture(str(seed), 30 * number), made, data, figures)
            yield Cell(job.model, job.prompt, seed, path, figures)
            yield Saved("picture", f"{path.parent.name}/{path.stem}", path)

    def control(job: ControlJob) -> Iterator[Event]:
        yield Progress("Generating", 0, len(job.models) * len(job.scales))
        yield ControlMap(job.control, picture(job.control, 200))
        for row, model in enumerate(job.models):
            for column, scale in enumerate(job.scales):
                scores = {"strength": scale, "edge_recall": 0.5}
                yield Cell(model, job.prompt, job.seed, picture(model[:8], 60 * row), scores)
                done = row * len(job.scales) + column + 1
                yield Progress("Generating", done, len(job.models) * len(job.scales))
            yield Score(model, {"edge_recall": 0.5})
        yield from report(job.report or "control")

    def report(wanted: str, data: dict[str, object] | None = None) -> Iterator[Event]:
        folder = workspace.place("reports", workspace.fresh("reports", wanted))
        folder.mkdir(exist_ok=True)
        if data:
            write_json(folder / "report.json", data)
        (folder / "README.md").write_text("A report.")
        yield Saved("report", folder.name, folder)

    recipes: dict[str, Callable[..., Iterator[Event]]] = {
        "crop": crop, "convert": convert, "class_images": class_images, "train": train, "compare": compare,
        "control": control, "generate": generate,
    }  # fmt: skip
    return recipes | workshop_recipes(workspace, picture, train)
