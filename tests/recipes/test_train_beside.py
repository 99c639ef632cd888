"""What a training does beside learning, or in another way: compiled steps, samples that have no room."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgui.config import PreflightJob, TrainJob
from dreamgui.errors import StopRequested
from dreamgui.events import Loss, Note, Sampled
from dreamgui.models import offload as offloadable
from dreamgui.models.manager import Models
from dreamgui.models.offload import Offloadable
from dreamgui.recipes.preflight import preflight
from dreamgui.recipes.train import train
from dreamgui.training import loop as module
from dreamgui.training import training_data
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.recipes.killing import numbers
from tests.tiny import make_tiny_base

torch.set_num_threads(1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace, levels=1)
    make_dataset(workspace)
    return workspace


@pytest.fixture
def models(workspace: Workspace) -> Models:
    return Models(workspace, torch.device("cpu"))


def job(**changes: object) -> TrainJob:
    usual = {
        "model": "tiny",
        "dataset": "anna",
        "steps": 6,
        "prior_preservation": False,
        "sample_every": 0,
        "sample_steps": 2,
    }
    return TrainJob.model_validate({**usual, **changes})


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "cl"))), reason="needs a C++ compiler")
def test_a_compiled_run_is_stopped_and_resumed(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced as for the compiler; nothing is made of it, which would take a minute here."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    whole = numbers(list(train(job(run="plain"), workspace, models)))
    stream: Any = train(job(run="compiled", compile=True), workspace, models)
    events = []
    for event in stream:
        events.append(event)
        if isinstance(event, Loss) and event.step == 3:
            break
    events += [stream.throw(StopRequested()), *stream]
    assert any("being compiled" in event.text for event in events if isinstance(event, Note))
    resumed = list(train(job(run="compiled", compile=True, resume=True), workspace, models))
    found = {step: values for step, *values in numbers(resumed)}
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    for step, instance, _, norm in whole:
        assert found[step] == [pytest.approx(instance, rel=1e-4), None, pytest.approx(norm, rel=1e-3)]


def test_a_preflight_tries_a_compiled_step(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamgui.training.steps.compiler._missing", lambda device: "there is nothing here.")
    wanted = PreflightJob.model_validate(
        {"model": "tiny", "dataset": "anna", "compile": True, "sample_steps": 2}
    )
    notes = [event.text for event in preflight(wanted, workspace, models) if isinstance(event, Note)]
    assert notes[0] == "Steps run uncompiled: there is nothing here." and "It fits" in notes[1]


def test_without_room_for_samples_the_training_goes_on(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")
        yield

    monkeypatch.setattr(module, "generated", short)
    events = list(train(job(sample_every=2), workspace, models))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes == ["The training goes on without samples: there is no memory for them beside it."]
    assert len(numbers(events)) == 6 and not any(isinstance(event, Sampled) for event in events)
    assert models.catalog.runs()[-1].finished


def test_the_unet_makes_room_for_encoding_where_memory_is_tight(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU takes the card's part, and "meta" the CPU's; moves are recorded."""
    moves: list[tuple[str, str]] = []

    def move(self: Offloadable, device: torch.device) -> None:
        moves.extend((type(module).__name__, device.type) for module in self.modules)

    monkeypatch.setattr(offloadable, "HOST", torch.device("meta"))
    monkeypatch.setattr(Offloadable, "has_own_memory", True)
    monkeypatch.setattr(Offloadable, "_move", move)
    list(train(job(steps=1), workspace, models))
    assert not [name for name, _ in moves if "UNet" in name]
    moves.clear()
    monkeypatch.setattr(training_data, "_is_tight", lambda device: True)
    list(train(job(steps=1), workspace, models))
    unet, companion = "UNet2DConditionModel", "AutoencoderKL"
    assert [move for move in moves if move[0] in (unet, companion)] == [
        (companion, "cpu"),
        (unet, "meta"),
        (unet, "cpu"),
        (companion, "meta"),
    ]
