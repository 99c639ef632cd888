"""What is said of a training that learns nothing."""

from __future__ import annotations

import pytest

from dreamgui.config import TrainJob
from dreamgui.events import Loss
from dreamgui.training.remarks import after_training, before_training


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
