"""A checkpoint comes every so many steps, after so many seconds, on request, and never after the last step."""

from __future__ import annotations

import pytest

from dreamgui.config import TrainJob
from dreamgui.training import checkpoint_rhythm
from dreamgui.training.checkpoint_rhythm import CheckpointRhythm


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the clock, in its only entry."""
    seconds = [100.0]
    monkeypatch.setattr(checkpoint_rhythm.time, "monotonic", lambda: seconds[0])
    return seconds


def test_steps_requests_and_the_end() -> None:
    rhythm = CheckpointRhythm(TrainJob(steps=6, checkpoint_every=2))
    assert [step for step in range(1, 7) if rhythm.is_due(step, now=False)] == [2, 4]
    assert [step for step in range(1, 7) if rhythm.is_due(step, now=True)] == [1, 2, 3, 4, 5]
    assert [step for step in range(1, 7) if rhythm.falls_on(step)] == [2, 4, 6]


def test_seconds_count_from_the_last_checkpoint(now: list[float]) -> None:
    rhythm = CheckpointRhythm(TrainJob(checkpoint_seconds=60))
    now[0] = 160.0
    assert not rhythm.is_late
    now[0] = 160.5
    assert rhythm.is_late
    rhythm.saved()
    assert not rhythm.is_late


def test_models_on_the_way() -> None:
    kept = CheckpointRhythm(TrainJob(steps=6, snapshot_every=3))
    assert [step for step in range(1, 7) if kept.keeps_model(step)] == [3]
    assert not any(CheckpointRhythm(TrainJob(steps=6, snapshot_every=0)).keeps_model(s) for s in range(1, 7))
