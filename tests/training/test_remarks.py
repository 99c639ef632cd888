"""What is said of a training that learns nothing, or somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamgui.config import TrainJob
from dreamgui.events import Loss
from dreamgui.training.remarks import about_dataset, after_training, before_training
from dreamgui.workspace import Workspace
from tests.diffusion.made import INSTANCE_PROMPT, make_dataset


def losses(count: int, instance: float) -> list[Loss]:
    return [Loss(step, instance, None, 1.0, 1.0, 0.1) for step in range(1, count + 1)]


def test_a_loss_that_does_not_move_is_said() -> None:
    job = TrainJob(method="lora", learning_rate=1.0)
    [note] = after_training(job, losses(60, 1.02))
    assert "1.02 after 60 steps" in note.text and "usual: 0.0001" in note.text
    assert list(after_training(job, losses(60, 0.15))) == []
    assert list(after_training(job, losses(5, 1.02))) == list(after_training(job, [])) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "lora", "learning_rate": 1.0}, True),
        ({"method": "unet", "learning_rate": 0.01}, True),
        ({"method": "lora", "learning_rate": 1e-3}, False),
        ({"method": "lora"}, False),
        ({"method": "lora", "optimizer": "prodigy", "learning_rate": 1.0}, False),
    ],
)
def test_a_rate_is_measured_by_the_methods_usual_one(settings: dict[str, object], said: bool) -> None:
    assert bool(list(before_training(TrainJob.model_validate(settings)))) == said


def test_crops_of_somebody_else_of_another_name_and_size_are_said_before(tmp_path: Path) -> None:
    dataset = make_dataset(Workspace(tmp_path))
    assert list(about_dataset(dataset, INSTANCE_PROMPT, 64)) == []
    # Another prompt is read in place of the dataset's own.
    assert list(about_dataset(dataset, "a photo of sks man face", 64)) == []
    first, second, third, _ = dataset.entries
    dataset.set_caption(first.file, "sks man in a garden")
    dataset._change("a stranger", [second.file, third.file], lambda entry: {"agreement": 0.0})
    said = [note.text for note in about_dataset(dataset, INSTANCE_PROMPT, 32)]
    assert "2 crops may show someone else: 1.png, 2.png." in said[0]
    assert "The captions of 1 crop say man, the instance prompt says woman." in said[1]
    assert said[2] == "The crops of 64 pixels are reduced to the base model's 32."
    for file in (first.file, second.file, third.file):
        dataset.drop(file)
    assert [note.text for note in about_dataset(dataset, INSTANCE_PROMPT, 128)] == [
        "The crops of 64 pixels are enlarged to the base model's 128."
    ]
