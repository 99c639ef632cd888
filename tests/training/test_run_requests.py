from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamgui.events import Begun, Loss, Sampled, Saved
from dreamgui.models.manager import Models
from dreamgui.recipes.train import train
from dreamgui.training import loop as module
from dreamgui.training.run_requests import SAMPLE, SAVE, RunRequests
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.recipes.test_train import job
from tests.tiny import make_tiny_base


def test_a_request_is_taken_once(tmp_path: Path) -> None:
    requests = RunRequests(tmp_path)
    assert not requests.take(SAMPLE)
    requests.ask(SAMPLE)
    requests.ask(SAMPLE)
    assert requests.take(SAMPLE) and not requests.take(SAMPLE)


def test_samples_and_a_checkpoint_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither would come in this run by itself: samples are off and the next checkpoint is far away."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    make_dataset(workspace)
    models = Models(workspace, torch.device("cpu"))
    sampled, saved, requests = [], [], None
    for event in train(job(steps=8, checkpoint_every=1000, sample_steps=2), workspace, models):
        if isinstance(event, Begun):
            requests = RunRequests(workspace.place("runs", event.name))
        if isinstance(event, Loss) and event.step == 3:
            assert requests is not None
            requests.ask(SAMPLE)
            requests.ask(SAVE)
        if isinstance(event, Sampled):
            sampled.append(event.step)
        if isinstance(event, Saved) and event.what == "checkpoint":
            saved.append(event.name)
    assert sampled == [3, 3] and saved == ["step-000003"]
