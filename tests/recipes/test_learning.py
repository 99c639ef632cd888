"""A short training on the bundled model truly learns: it is what the rest of the program stands on."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import pytest
import torch
from PIL import Image

from dreamgui.config import ConvertJob, CropJob, TrainJob
from dreamgui.data.dataset import Dataset
from dreamgui.data.photos import load_image
from dreamgui.diffusion.sample import Draw, draw
from dreamgui.evaluate.identity import Likeness
from dreamgui.events import Loss, Saved, Validation
from dreamgui.models.catalog import ModelSpec
from dreamgui.models.demo_bundle import demo_photos
from dreamgui.models.manager import Models
from dreamgui.recipes.convert import convert
from dreamgui.recipes.crop import crop
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace

STEPS = 150
PROMPTS = (
    "a photo of sks woman face",
    "a photo of sks woman face in a studio",
    "a photo of sks woman face on the beach",
)


@dataclass
class Learned:
    """What a training left: its losses, and pictures of the same prompts and seeds before and after."""

    losses: list[Loss]
    validations: list[Validation]
    photographs: list[Image.Image]
    before: list[Image.Image]
    after: list[Image.Image]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """The recommended training of the UNet, without prior preservation, with fewer and smaller steps."""
    workspace = Workspace(tmp_path_factory.mktemp("learning"))
    models = Models(workspace, torch.device("cpu"))
    list(convert(ConvertJob(source="demo"), workspace, models))
    card = models.catalog.card("portraits")
    photos = tuple(demo_photos())
    list(crop(CropJob(photos=photos, dataset="her", size_px=card.size_px), workspace, models))
    settings = card.recommended["unet"] | {"steps": STEPS, "prior_preservation": False, "batch_size": 2}
    settings |= {"sample_every": 0, "validate_every": 30, "checkpoint_every": STEPS}
    job = TrainJob.model_validate(
        {**settings, "method": "unet", "model": "portraits", "dataset": "her", "run": "her"}
    )
    events = list(train(job, workspace, models))
    assert isinstance(events[-1], Saved)
    dataset = Dataset.load(workspace.find("datasets", "her"))
    return Learned(
        losses=[event for event in events if isinstance(event, Loss)],
        validations=[event for event in events if isinstance(event, Validation)],
        photographs=[load_image(dataset.path(entry)) for entry in dataset.entries],
        before=drawn(models, ModelSpec("portraits")),
        after=drawn(models, models.catalog.spec("her")),
    )


def drawn(models: Models, spec: ModelSpec) -> list[Image.Image]:
    with models.use(spec) as parts:
        return draw(parts, [Draw(prompt, seed=seed, steps=15) for prompt in PROMPTS for seed in range(3)])


def test_the_losses_fall(learned: Learned) -> None:
    instance = [loss.instance for loss in learned.losses]
    assert statistics.mean(instance[-20:]) < 0.9 * statistics.mean(instance[:20])


def test_photographs_that_were_set_aside_are_learned_too(learned: Learned) -> None:
    first, *_, last = learned.validations
    assert last.loss < first.loss


def test_the_person_is_drawn_more_alike(learned: Learned) -> None:
    person = Likeness(learned.photographs)
    pairs = [
        (before, after)
        for before, after in zip(
            map(person.score, learned.before), map(person.score, learned.after), strict=True
        )
        if before is not None and after is not None
    ]
    gains = [after - before for before, after in pairs]
    assert len(gains) >= 6
    assert statistics.mean(gains) > 2 * statistics.stdev(gains) / len(gains) ** 0.5, gains
