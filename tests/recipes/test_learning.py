"""A short training on the bundled model truly learns: it is what the rest of the program stands on."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import pytest
import torch
from PIL import Image

from dreamgui.config import ConvertJob, CropJob, TrainJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.faces.identity import Likeness
from dreamgui.data.photos.load import load_image
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.events import Loss, Saved, Validation
from dreamgui.models.catalog.catalog import ModelSpec
from dreamgui.models.manager import Models
from dreamgui.models.sources.demo_bundle import demo_photos
from dreamgui.recipes.convert import convert
from dreamgui.recipes.crop import crop
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace

# A minute and a half on two idle cores; a machine may be busy.
pytestmark = pytest.mark.timeout(1800)
STEPS = 90
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
def trained_on(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """The demo's training of the UNet, without prior preservation, with fewer and smaller steps."""
    workspace = Workspace(tmp_path_factory.mktemp("learning"))
    models = Models(workspace, torch.device("cpu"))
    list(convert(ConvertJob(source="demo"), workspace, models))
    card = models.catalog.card("portraits")
    photos = tuple(demo_photos())
    list(crop(CropJob(photos=photos, dataset="her", size_px=card.size_px), workspace, models))
    settings = card.recommended["unet"] | card.recommended["unet_in_the_demo"]
    settings |= {"steps": STEPS, "prior_preservation": False, "batch_size": 2}
    settings |= {"sample_every": 0, "validate_every": 45, "checkpoint_every": STEPS}
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
        before=generated(models, ModelSpec("portraits")),
        after=generated(models, models.catalog.spec("her")),
    )


def generated(models: Models, spec: ModelSpec) -> list[Image.Image]:
    with models.use(spec) as parts:
        return generate(
            parts, [ImageRequest(prompt, seed=seed, steps=10) for prompt in PROMPTS for seed in range(3)]
        )


def test_the_losses_fall(trained_on: Learned) -> None:
    instance = [loss.instance for loss in trained_on.losses]
    assert statistics.mean(instance[-20:]) < 0.9 * statistics.mean(instance[:20])


def test_photographs_that_were_set_aside_are_learned_too(trained_on: Learned) -> None:
    first, *_, last = trained_on.validations
    assert last.loss < first.loss


def test_the_person_is_drawn_more_alike(trained_on: Learned) -> None:
    person = Likeness.of(trained_on.photographs)
    pairs = [
        (before, after)
        for before, after in zip(
            map(person.score, trained_on.before), map(person.score, trained_on.after), strict=True
        )
        if before is not None and after is not None
    ]
    gains = [after - before for before, after in pairs]
    assert len(gains) >= 6
    assert statistics.mean(gains) > 2 * statistics.stdev(gains) / len(gains) ** 0.5, gains
