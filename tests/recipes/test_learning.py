"""A short training on the bundled model truly learns: it is what the rest of the program stands on."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import pytest
import torch

from dreamgui.config import ConvertJob, CropJob, TrainJob
from dreamgui.events import Loss, Saved, Validation
from dreamgui.models.demo_bundle import demo_photos
from dreamgui.models.manager import Models
from dreamgui.recipes.convert import convert
from dreamgui.recipes.crop import crop
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace

torch.set_num_threads(1)
STEPS = 48


@dataclass
class Learned:
    """What a training left: what its events tell of losses."""

    losses: list[Loss]
    validations: list[Validation]


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
    return Learned(
        losses=[event for event in events if isinstance(event, Loss)],
        validations=[event for event in events if isinstance(event, Validation)],
    )


def test_the_losses_fall(learned: Learned) -> None:
    instance = [loss.instance for loss in learned.losses]
    assert statistics.mean(instance[-20:]) < 0.9 * statistics.mean(instance[:20])


def test_photographs_that_were_set_aside_are_learned_too(learned: Learned) -> None:
    first, *_, last = learned.validations
    assert last.loss < first.loss
