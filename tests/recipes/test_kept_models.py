"""Weights of a training that are kept as models after so many steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dreamgui.config import CompareJob, TrainJob
from dreamgui.errors import StopRequested, UnknownName
from dreamgui.events import Cell, Event, Loss
from dreamgui.library.items import find, items
from dreamgui.library.trash import delete, restore
from dreamgui.models.manager import Models
from dreamgui.recipes.compare import compare
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset

QUICK = {
    "model": "tiny",
    "dataset": "anna",
    "sample_every": 0,
    "learning_rate": 1e-3,
    "prior_preservation": False,
    "rank": 2,
}


@pytest.fixture
def lent(workspace: Workspace) -> Models:
    make_dataset(workspace)
    return Models(workspace, torch.device("cpu"))


def trained(workspace: Workspace, models: Models, **changes: object) -> None:
    for _ in train(TrainJob(**{**QUICK, **changes}), workspace, models):
        pass


def weights(models: Models, name: str) -> dict[str, torch.Tensor]:
    return load_file(models.catalog.run_file(name))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("method", ["lora", "unet"])
def test_a_kept_model_is_what_a_training_of_so_many_steps_gives(
    workspace: Workspace, lent: Models, method: str
) -> None:
    wanted = {"method": method, "train_text_encoder": True, "text_share": 1.0, "snapshot_every": 2}
    trained(workspace, lent, run="long", steps=6, **wanted)
    trained(workspace, lent, run="short", steps=4, **(wanted | {"snapshot_every": 0}))
    assert lent.catalog.all_names() == ["tiny", "long", "long@2", "long@4", "short"]
    assert lent.catalog.names() == ["tiny", "long", "short"]
    assert same(weights(lent, "long@4"), weights(lent, "short"))
    assert not same(weights(lent, "long@2"), weights(lent, "long@4"))
    card = lent.catalog.run("long@2")
    assert (card.steps, card.base, card.file_bytes > 0) == (2, "tiny", True)
    assert 0 < card.seconds < lent.catalog.run("long@4").seconds < lent.catalog.run("long").seconds

    job = CompareJob(models=("long@4", "short"), prompts=("a photo of sks woman",), dataset="anna", steps=2)
    cells = [event for event in compare(job, workspace, lent) if isinstance(event, Cell)]
    drawn = {cell.model: cell.image.tobytes() for cell in cells if cell.prompt == job.prompts[0]}
    assert drawn["long@4"] == drawn["short"]


def test_a_step_that_was_not_kept_is_refused_with_those_that_were(workspace: Workspace, lent: Models) -> None:
    trained(workspace, lent, run="anna", steps=4, snapshot_every=2)
    with pytest.raises(UnknownName, match="anna@3") as refused:
        lent.catalog.spec("anna@3")
    assert "anna@2" in refused.value.next_step


def test_models_of_a_course_that_was_left_are_gone(workspace: Workspace, lent: Models) -> None:
    settings = {
        **QUICK,
        "run": "anna",
        "steps": 12,
        "snapshot_every": 1,
        "checkpoint_every": 2,
        "keep_checkpoints": 9,
    }
    training = train(TrainJob(**settings), workspace, lent)
    until_step(training, 10)
    with suppress(StopIteration):
        training.throw(StopRequested())
    assert lent.catalog.snapshots("anna")[:9] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    (workspace.find("runs", "anna") / "steps" / "9 copy").mkdir()
    training = train(TrainJob(**settings, resume=True, resume_from=6), workspace, lent)
    until_step(training, 8)
    training.close()
    assert lent.catalog.snapshots("anna") == [1, 2, 3, 4, 5, 6, 7]


def until_step(training: Iterator[Event], step: int) -> None:
    next(event for event in training if isinstance(event, Loss) and event.step == step)


@pytest.mark.parametrize(
    ("changes", "every"),
    [
        ({"steps": 800}, 100),
        ({"steps": 100}, 50),
        ({"steps": 800, "method": "unet"}, 0),
        ({"steps": 800, "snapshot_every": 0}, 0),
        ({"steps": 800, "method": "unet", "snapshot_every": 200}, 200),
    ],
)
def test_a_lora_keeps_eight_and_a_unet_what_is_asked_for(changes: dict[str, object], every: int) -> None:
    assert TrainJob(**changes).effective_snapshot_every == every


def test_the_library_lists_deletes_and_restores_a_kept_model(workspace: Workspace, lent: Models) -> None:
    trained(workspace, lent, run="anna", steps=4, snapshot_every=2)
    assert [item.name for item in items(workspace, ["checkpoint"])] == ["anna@2"]
    before = weights(lent, "anna@2")
    entry = delete(workspace, find(workspace, "checkpoint", "anna@2"))
    assert lent.catalog.snapshots("anna") == []
    restore(workspace, entry.id)
    assert same(weights(lent, "anna@2"), before)
    assert Path(workspace.find("runs", "anna") / "steps/2").is_dir()
