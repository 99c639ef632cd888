from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamgui.config import PreflightJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.errors import NotEnoughDisk, NotEnoughMemory, NotEnoughPhotos, UnknownName
from dreamgui.events import Note, Score
from dreamgui.models.manager import Models
from dreamgui.recipes.preflight import preflight
from dreamgui.training.steps.step import TrainingStep
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.tiny import make_tiny_base


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    make_dataset(workspace)
    return workspace


def job(**changes: object) -> PreflightJob:
    return PreflightJob.model_validate(
        {"model": "tiny", "dataset": "anna", "steps": 50, "sample_steps": 2, **changes}
    )


@pytest.mark.parametrize(
    "changes", [{}, {"method": "unet"}, {"train_text_encoder": True}, {"gradient_checkpointing": True}]
)
def test_it_tells_time_and_room_and_keeps_nothing(workspace: Workspace, changes: dict[str, object]) -> None:
    models = Models(workspace, torch.device("cpu"))
    events = list(preflight(job(**changes), workspace, models))
    [score] = [event.values for event in events if isinstance(event, Score)]
    steps, picture, seconds = (score[name] for name in ("step_seconds", "picture_seconds", "seconds"))
    assert steps and picture and seconds and seconds >= 50 * steps
    notes = " ".join(event.text for event in events if isinstance(event, Note))
    assert "It fits. 50 steps" in notes and "float32" in notes
    assert workspace.names("runs") == [] and workspace.names("classes") == []


def test_more_pictures_a_step_and_the_prior_cost_time(workspace: Workspace) -> None:
    models = Models(workspace, torch.device("cpu"))

    def step_seconds(**changes: object) -> float:
        events = list(preflight(job(**changes), workspace, models))
        return next(event.values["step_seconds"] or 0 for event in events if isinstance(event, Score))

    assert step_seconds(batch_size=32) > 2 * step_seconds(batch_size=1, prior_preservation=False)


def test_what_a_training_refuses_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(workspace, torch.device("cpu"))
    make_dataset(workspace, "few", count=2)
    with pytest.raises(UnknownName):
        list(preflight(job(dataset="nobody"), workspace, models))
    with pytest.raises(NotEnoughPhotos):
        list(preflight(job(dataset="few"), workspace, models))
    monkeypatch.setattr(
        Workspace,
        "require_space",
        lambda self, need, what: (_ for _ in ()).throw(NotEnoughDisk("full", "clean")),
    )
    with pytest.raises(NotEnoughDisk):
        list(preflight(job(), workspace, models))


def test_out_of_memory_names_what_helps(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(self: TrainingStep, *_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    models = Models(workspace, torch.device("cpu"))
    monkeypatch.setattr(TrainingStep, "launch", short)
    with pytest.raises(NotEnoughMemory, match="Set the batch to 4"):
        list(preflight(job(batch_size=8), workspace, models))
    monkeypatch.undo()
    assert list(preflight(job(), workspace, models))


def test_captions_that_another_program_changed_are_told(workspace: Workspace) -> None:
    text = next((workspace.find("datasets", "anna") / "images").glob("*.txt"))
    text.write_bytes("sks в шляпе".encode("cp1251"))
    told = preflight(job(), workspace, Models(workspace, torch.device("cpu")))
    first = next(event for event in told if isinstance(event, Note))
    assert text.name in first.text and "another program" in first.text


def test_what_decides_the_result_is_said_before_that_it_fits(workspace: Workspace) -> None:
    models = Models(workspace, torch.device("cpu"))
    dataset = Dataset.load(workspace.find("datasets", "anna"))
    dataset._change("a stranger", [dataset.entries[0].file], lambda entry: {"agreement": 0.0})
    notes = [event.text for event in preflight(job(), workspace, models) if isinstance(event, Note)]
    assert "1 crop may show someone else: 0.png." in notes[0]
    assert any("It fits." in text for text in notes[1:])
