"""A short training on the bundled model truly learns: it is what the rest of the program stands on."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import pytest
import torch

from dreamgui.config import ConvertJob, CropJob, TrainJob
from dreamgui.data.dataset import Dataset
from dreamgui.data.photos import load_image
from dreamgui.diffusion.sample import Draw, draw
from dreamgui.evaluate.identity import Likeness
from dreamgui.events import Loss, Saved, Validation
from dreamgui.models.demo_bundle import demo_photos
from dreamgui.models.manager import Models
from dreamgui.recipes.convert import convert
from dreamgui.recipes.crop import crop
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace

torch.set_num_threads(1)
STEPS, SHOWN = 80, 6
TOKEN, CLASS = "a photo of sks woman face", "a photo of woman face"


@dataclass
class Learned:
    """What a training left: its events, and distances to the photographs before and after, by prompt."""

    losses: list[Loss]
    validations: list[Validation]
    before: dict[str, float]
    after: dict[str, float]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """The recommended training of the UNet, with fewer steps and pictures."""
    workspace = Workspace(tmp_path_factory.mktemp("learning"))
    models = Models(workspace, torch.device("cpu"))
    list(convert(ConvertJob(source="demo"), workspace, models))
    card = models.catalog.card("portraits")
    photos = tuple(demo_photos())
    list(crop(CropJob(photos=photos, dataset="her", size_px=card.size_px), workspace, models))
    settings = card.recommended["unet"] | {"steps": STEPS, "batch_size": 4, "class_count": 8}
    settings |= {"sample_every": 0, "validate_every": 10, "checkpoint_every": STEPS}
    job = TrainJob.model_validate(
        {**settings, "method": "unet", "model": "portraits", "dataset": "her", "run": "her"}
    )
    events = list(train(job, workspace, models))
    assert isinstance(events[-1], Saved)
    dataset = Dataset.load(workspace.find("datasets", "her"))
    likeness = Likeness(load_image(path) for path, _ in dataset.images())
    return Learned(
        losses=[event for event in events if isinstance(event, Loss)],
        validations=[event for event in events if isinstance(event, Validation)],
        before=_distances(models, "portraits", likeness),
        after=_distances(models, "her", likeness),
    )


def _distances(models: Models, name: str, likeness: Likeness) -> dict[str, float]:
    """Mean distance to the person of the same pictures' seeds, for the token and the class."""
    with models.use(models.catalog.spec(name)) as parts:
        found = {
            prompt: [
                distance
                for image in draw(parts, [Draw(prompt, seed=seed) for seed in range(SHOWN)])
                if (distance := likeness.distance(image)) is not None
            ]
            for prompt in (TOKEN, CLASS)
        }
    return {prompt: statistics.mean(distances) for prompt, distances in found.items()}


def test_the_losses_fall(learned: Learned) -> None:
    instance = [loss.instance for loss in learned.losses]
    assert statistics.mean(instance[-20:]) < 0.9 * statistics.mean(instance[:20])


def test_photographs_that_were_set_aside_are_learned_too(learned: Learned) -> None:
    first, *_, last = learned.validations
    assert last.loss < first.loss


def test_the_token_becomes_the_person_and_the_class_does_not(learned: Learned) -> None:
    nearer = {prompt: learned.before[prompt] - learned.after[prompt] for prompt in (TOKEN, CLASS)}
    assert nearer[TOKEN] > 0.05
    assert nearer[CLASS] < nearer[TOKEN] / 2
