"""A training lets pictures in between two of its steps, one job at a time, and keeps half of the device's time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dreamgui.config import ConvertJob, GenerateJob, JobConfig, TrainJob
from dreamgui.events import Cancelled, Done, Event, Loss, Note, Progress
from dreamgui.jobs import line as module
from dreamgui.jobs.line import Line
from dreamgui.jobs.queue import Jobs
from dreamgui.workspace import Workspace


class Device:
    """A training that goes from step to step when it is told to, and tells what had the device in which order."""

    def __init__(self, root: Path, lets_in: bool = True) -> None:
        self.ran: list[str] = []
        self.steps = threading.Semaphore(0)
        recipes = {"train": self.train, "generate": self.other, "convert": self.other}
        self.jobs = Jobs(Workspace(root), recipes, Line(lambda: lets_in))

    def train(self, config: JobConfig) -> Iterator[Event]:
        assert isinstance(config, TrainJob)
        for step in range(1, config.steps + 1):
            yield Progress("Training", step - 1, config.steps)
            assert self.steps.acquire(timeout=60)
            self.ran.append(f"step {step}")
            yield Loss(step, 0.5, None, 1.0, 1e-4, 0.1)

    def other(self, config: JobConfig) -> Iterator[Event]:
        self.ran.append(config.kind)
        yield Note("done")


def test_pictures_come_between_steps_and_nothing_else_does(tmp_path: Path) -> None:
    device = Device(tmp_path)
    training = device.jobs.submit(TrainJob(steps=3))
    next(training.follow())
    converting = device.jobs.submit(ConvertJob(source="x.ckpt"))
    pictures = device.jobs.submit(GenerateJob())
    assert device.jobs.comes_between(pictures) and not device.jobs.comes_between(converting)
    device.steps.release(3)
    assert isinstance(converting.wait(), Done) and isinstance(pictures.wait(), Done)
    assert device.ran == ["step 1", "generate", "step 2", "step 3", "convert"]
    labels = [event.label for event in training.events() if isinstance(event, Progress)]
    assert labels == ["Training", "Resting between two steps while pictures are generated", *["Training"] * 3]


def test_a_training_keeps_half_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that stands but while pictures are generated: the second guest never becomes due."""
    seconds = iter(range(100, 1000, 100))
    now = [0.0]

    def generate(config: JobConfig) -> Iterator[Event]:
        now[0] = next(seconds)
        device.ran.append(config.kind)
        yield Note("done")

    device = Device(tmp_path)
    device.jobs._recipes = {"train": device.train, "generate": generate}
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    training = device.jobs.submit(TrainJob(steps=3))
    next(training.follow())
    pictures = [device.jobs.submit(GenerateJob(seed=seed), behind=True) for seed in (1, 2)]
    device.steps.release(3)
    assert all(isinstance(job.wait(), Done) for job in pictures)
    assert device.ran == ["step 1", "generate", "step 2", "step 3", "generate"]


def test_a_training_in_several_processes_lets_nothing_in(tmp_path: Path) -> None:
    device = Device(tmp_path, lets_in=False)
    training = device.jobs.submit(TrainJob(steps=2))
    next(training.follow())
    pictures = device.jobs.submit(GenerateJob())
    device.steps.release(2)
    assert isinstance(pictures.wait(), Done) and device.ran == ["step 1", "step 2", "generate"]


def test_a_guest_that_fails_or_is_stopped_ends_no_training(tmp_path: Path) -> None:
    device = Device(tmp_path)

    def broken(_: JobConfig) -> Iterator[Event]:
        raise ValueError("broken")
        yield

    device.jobs._recipes = {"train": device.train, "generate": broken}
    training = device.jobs.submit(TrainJob(steps=2))
    next(training.follow())
    stopped = device.jobs.submit(GenerateJob(seed=1))
    stopped.stop()
    failed = device.jobs.submit(GenerateJob(seed=2))
    device.steps.release(2)
    assert isinstance(training.wait(), Done)
    assert (stopped.state, failed.state) == ("cancelled", "failed")


def test_a_training_that_is_being_stopped_ends_first(tmp_path: Path) -> None:
    device = Device(tmp_path)
    training = device.jobs.submit(TrainJob(steps=3))
    next(training.follow())
    training.stop()
    pictures = device.jobs.submit(GenerateJob())
    device.steps.release(3)
    assert isinstance(pictures.wait(), Done) and isinstance(training.wait(), Cancelled)
    assert device.ran == ["step 1", "generate"]
