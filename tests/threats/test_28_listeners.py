"""28: made-up sessions hold no listener for good, and no visitor takes all places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dreamgui.config import TrainJob
from dreamgui.errors import BadInput
from dreamgui.jobs.job import Job
from dreamgui.ui.parts import watch
from dreamgui.ui.parts.readers import Readers
from dreamgui.visitors import NOBODY
from tests.loops import run_apart
from tests.ui.fakes import fake_services


def test_a_visitor_has_so_many_listeners_and_all_together_have() -> None:
    readers = Readers(in_all=5, of_a_visitor=2)
    taken = [readers.place(name) for name in ("anna", "anna", "ben", NOBODY, NOBODY)]
    for place in taken:
        place.__enter__()
    for name in ("anna", "carl"):
        with pytest.raises(BadInput, match="Too many pages"), readers.place(name):
            pass
    taken[0].__exit__(None, None, None)
    with readers.place("anna"), pytest.raises(BadInput), readers.place("anna"):
        pass


def test_many_listeners_look_less_often_each() -> None:
    readers = Readers()
    with ExitStack() as few:
        for _ in range(4):
            few.enter_context(readers.place("a"))
        assert readers.pause(0.5) == 0.5
    with ExitStack() as many:
        for visitor in "abcd":
            for _ in range(25):
                many.enter_context(readers.place(visitor))
        assert readers.pause(0.5) * 25 == pytest.approx(100)
    assert readers.pause(0.5) == 0.5


def test_a_session_is_read_while_a_connection_is_open() -> None:
    readers = Readers()
    assert readers.is_read("mine")
    with readers.reading("mine"), readers.reading("mine"):
        assert readers.is_read("mine") and not readers.is_read("made-up") and not readers.is_read(None)
    assert not readers.is_read("mine")


@pytest.fixture
def training(tmp_path: Path) -> Iterator[tuple[object, Job]]:
    services = fake_services(tmp_path)
    job = services.jobs.submit(TrainJob(steps=20_000, sample_every=0))
    yield services, job
    job.stop()
    job.wait()


def test_a_listener_that_nobody_reads_ends_while_the_job_goes_on(training: tuple) -> None:
    services, job = training
    answers = iter([True, True, False])

    async def followed() -> int:
        return len(
            [
                one
                async for one in watch.follow(services.jobs, "train", lambda view: {}, lambda: next(answers))
            ]
        )

    assert run_apart(followed()) >= 1
    assert not job.ended


def test_the_log_of_another_programs_job_is_read_once_for_many_listeners(
    training: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = training
    reads = []
    other = Job(job.folder, job.config, ours=False)
    news = other._log.news
    monkeypatch.setattr(other._log, "news", lambda: reads.append(1) or news())
    monkeypatch.setattr("dreamgui.jobs.job.LOOK_SECONDS", 1000.0)
    for _ in range(50):
        other.events()
    assert len(reads) == 1
