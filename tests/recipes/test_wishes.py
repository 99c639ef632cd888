from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamgui.events import Begun, Loss, Sampled, Saved
from dreamgui.models.manager import Models
from dreamgui.recipes import train as module
from dreamgui.recipes.train import train
from dreamgui.recipes.wishes import SAMPLE, SAVE, Wishes
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.recipes.test_train import job
from tests.tiny import make_tiny_base


def test_a_wish_is_granted_once(tmp_path: Path) -> None:
    wishes = Wishes(tmp_path)
    assert not wishes.take(SAMPLE)
    wishes.ask(SAMPLE)
    wishes.ask(SAMPLE)
    assert wishes.take(SAMPLE) and not wishes.take(SAMPLE)


def test_samples_and_a_checkpoint_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither would come in this run by itself: samples are off and the next checkpoint is far away."""
    monkeypatch.setattr(module, "SAMPLE_STEPS", 2)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    make_dataset(workspace)
    models = Models(workspace, torch.device("cpu"))
    sampled, saved, wishes = [], [], None
    for event in train(job(steps=8, checkpoint_every=1000), workspace, models):
        if isinstance(event, Begun):
            wishes = Wishes(workspace.place("runs", event.name))
        if isinstance(event, Loss) and event.step == 3:
            assert wishes is not None
            wishes.ask(SAMPLE)
            wishes.ask(SAVE)
        if isinstance(event, Sampled):
            sampled.append(event.step)
        if isinstance(event, Saved) and event.what == "checkpoint":
            saved.append(event.name)
    assert sampled == [3, 3] and saved == ["step-000003"]
