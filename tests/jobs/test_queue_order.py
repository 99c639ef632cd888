"""Several jobs of one kind wait in line, in an order that can be changed; a double press is one job."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from dreamgui.config import ConvertJob, JobConfig, TrainJob
from dreamgui.errors import AlreadyRunning, BadInput
from dreamgui.events import Event, Note, Progress
from dreamgui.jobs import line as line_module
from dreamgui.jobs import queue as module
from dreamgui.jobs.queue import Jobs
from dreamgui.services import Services
from dreamgui.ui.head.queue_panel import QueuePanel
from dreamgui.workspace import Workspace


class Line:
    """Jobs whose recipe waits until :attr:`go` is set, and tells in which order they ran."""

    def __init__(self, root: Path) -> None:
        self.go = threading.Event()
        self.ran: list[int] = []
        self.jobs = Jobs(Workspace(root), {"train": self.recipe, "convert": self.recipe})

    def recipe(self, config: JobConfig) -> Iterator[Event]:
        yield Note("begun")
        assert self.go.wait(60)
        if isinstance(config, TrainJob):
            self.ran.append(config.steps)
            if config.steps == 13:
                raise BadInput("Thirteen.", "Type another number.")


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path)
    yield line
    line.go.set()


def test_jobs_of_one_kind_wait_behind_each_other_and_change_places(line: Line) -> None:
    first, second, third = (line.jobs.submit(TrainJob(steps=steps), behind=True) for steps in (1, 2, 3))
    next(first.follow())
    assert line.jobs.active() == [first, second, third]
    line.jobs.earlier(third)
    line.jobs.earlier(third)
    assert line.jobs.active() == [first, third, second] and line.jobs.ahead(second) == [first, third]
    assert line.jobs.current("train") is first and line.jobs.latest("train") is third
    with pytest.raises(AlreadyRunning):
        line.jobs.submit(TrainJob(steps=4))
    line.go.set()
    assert second.wait() and line.ran == [1, 3, 2]


def test_nobody_overtakes_a_job_of_another_workspace(tmp_path: Path) -> None:
    shared, go = line_module.Line(), threading.Event()

    def recipe(_: JobConfig) -> Iterator[Event]:
        yield Note("begun")
        assert go.wait(60)

    ours, theirs = (Jobs(Workspace(tmp_path / name), {"train": recipe}, shared) for name in ("a", "b"))
    try:
        running = ours.submit(TrainJob(steps=1))
        next(running.follow())
        one = ours.submit(TrainJob(steps=2), behind=True)
        other = theirs.submit(TrainJob(steps=3))
        two = ours.submit(TrainJob(steps=4), behind=True)
        theirs.earlier(other)
        ours.earlier(two)
        assert shared.jobs() == [running, two, other, one]
        assert theirs.ahead(other) == [running, two] and ours.ahead(one) == [running, two, other]
    finally:
        go.set()


def test_a_double_press_is_one_job(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DOUBLE_PRESS_SECONDS", 3600)
    first = line.jobs.submit(TrainJob(steps=1), behind=True)
    assert line.jobs.submit(TrainJob(steps=1), behind=True) is first
    assert line.jobs.submit(TrainJob(steps=2), behind=True) is not first
    monkeypatch.setattr(module, "DOUBLE_PRESS_SECONDS", -1)
    assert line.jobs.submit(TrainJob(steps=2), behind=True) is not line.jobs.active()[1]


def test_a_waiting_job_is_cancelled_and_the_rest_goes_on(line: Line) -> None:
    first, second, third = (line.jobs.submit(TrainJob(steps=steps), behind=True) for steps in (13, 2, 3))
    second.stop()
    line.go.set()
    third.wait()
    assert line.ran == [13, 3]
    assert (first.state, second.state, third.state) == ("failed", "cancelled", "done")
    assert list(line.jobs.unfinished()) == [second, first]
    again = line.jobs.submit(first.config, behind=True)
    assert list(line.jobs.unfinished()) == [second]
    again.wait()
    assert list(line.jobs.unfinished()) == [again, second]


def test_the_panel_lists_what_runs_waits_and_failed(tmp_path: Path) -> None:
    line = Line(tmp_path)
    services = Services(Workspace(tmp_path))
    services._jobs = line.jobs
    with gr.Blocks():
        panel, discreet = QueuePanel(services, detailed=True), QueuePanel(services, detailed=False)
    first = line.jobs.submit(TrainJob(steps=13, dataset="<anna>"), behind=True)
    next(first.follow())
    assert panel.html() == ""
    second = line.jobs.submit(ConvertJob(), behind=True)
    third = line.jobs.submit(TrainJob(steps=3), behind=True)
    html = panel.html()
    assert "Running" in html and "Waiting 1" in html and "Waiting 2" in html and "&lt;anna&gt;" in html
    assert f'data-queue="earlier/{third.id}"' in html and f'data-queue="earlier/{second.id}"' not in html
    assert "anna" not in discreet.html()
    line.go.set()
    third.wait()
    html = panel.html()
    assert f'data-queue="again/{first.id}"' in html and "Failed" in html and "Waiting" not in html


def test_the_newest_event_of_a_kind_is_found(line: Line) -> None:
    job = line.jobs.submit(TrainJob(steps=1))
    next(job.follow())
    assert job.last(Progress) is None
    told = job.last(Note)
    assert told is not None and told.text == "begun"
