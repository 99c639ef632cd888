"""A job's log can be replayed, followed, stopped, and survives the process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from dreamgui.config import ConvertJob, TrainJob
from dreamgui.errors import AlreadyRunning, BadInput, StopRequested
from dreamgui.events import Cancelled, Done, Ending, Event, Failed, Note, Progress, Sampled, Saved
from dreamgui.jobs import Jobs, load
from dreamgui.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def counting(config: object) -> Iterator[Event]:
    for number in range(3):
        yield Progress("counting", number + 1, 3)
    yield Sampled(3, "a cat", 0, Image.new("RGB", (8, 8), "red"))


def endless(config: object) -> Iterator[Event]:
    try:
        while True:
            time.sleep(0.01)
            yield Note("going on")
    except StopRequested:
        yield Saved("run", "kept", Path("kept"))


def test_followers_see_all_and_pictures_become_files(workspace: Workspace) -> None:
    job = Jobs(workspace, {"convert": counting}).submit(ConvertJob())
    assert isinstance(job.wait(), Done)
    events = job.events()
    assert [type(event).__name__ for event in events] == ["Progress"] * 3 + ["Sampled", "Done"]
    assert isinstance(events[3], Sampled) and Image.open(events[3].image).getpixel((0, 0)) == (255, 0, 0)
    assert list(job.follow(start=2)) == events[2:]


def test_a_later_process_replays_the_same(workspace: Workspace) -> None:
    job = Jobs(workspace, {"convert": counting}).submit(ConvertJob(source="x.ckpt"))
    job.wait()
    again = Jobs(workspace, {}).latest("convert")
    assert again is not None and again.events() == job.events() and again.config == job.config
    assert again.state == "done"


def test_stop_keeps_what_the_recipe_saves(workspace: Workspace) -> None:
    job = Jobs(workspace, {"train": endless}).submit(TrainJob())
    next(job.follow())
    job.stop()
    assert isinstance(job.wait(), Cancelled)
    assert any(isinstance(event, Saved) for event in job.events())


def test_stop_while_waiting_never_starts(workspace: Workspace) -> None:
    jobs = Jobs(workspace, {"train": endless, "convert": counting})
    first, second = jobs.submit(TrainJob()), jobs.submit(ConvertJob())
    assert second.state == "waiting" and jobs.ahead(second) == [first]
    second.stop()
    assert second.state == "cancelled" and isinstance(second.wait(), Cancelled) and len(second.events()) == 1
    first.stop()
    assert isinstance(jobs.submit(ConvertJob()).wait(), Done)
    assert len(second.events()) == 1


def test_errors_end_the_job_in_a_sentence(workspace: Workspace) -> None:
    def refuses(config: object) -> Iterator[Event]:
        yield Note("looking")
        raise BadInput("The file is a poem.", "Choose a checkpoint.")

    def breaks(config: object) -> Iterator[Event]:
        yield Note("looking")
        raise ZeroDivisionError("by zero")

    jobs = Jobs(workspace, {"convert": refuses, "train": breaks})
    assert jobs.submit(ConvertJob()).wait() == Failed("The file is a poem.", "Choose a checkpoint.")
    job = jobs.submit(TrainJob())
    ending = job.wait()
    assert isinstance(ending, Failed) and "ZeroDivisionError" in ending.what
    assert "by zero" in (job.folder / "error.txt").read_text()


def test_racing_starts_give_one_run(workspace: Workspace) -> None:
    jobs = Jobs(workspace, {"train": endless})
    barrier, refused = threading.Barrier(8), []

    def press() -> None:
        barrier.wait()
        try:
            jobs.submit(TrainJob())
        except AlreadyRunning as error:
            refused.append(str(error))

    threads = [threading.Thread(target=press) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7 and len(jobs.active()) == 1
    assert jobs.active()[0].id in refused[0]
    jobs.active()[0].stop()


def test_a_log_cut_by_a_kill_gets_an_ending(workspace: Workspace) -> None:
    job = Jobs(workspace, {"convert": counting}).submit(ConvertJob())
    job.wait()
    # The worker tells the ending first and lets go of the folder a moment later.
    with FileLock(job.folder / ".lock", timeout=10):
        pass
    log = job.folder / "events.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines[:2]) + "\n" + lines[2][:10])
    cut = load(job.folder)
    assert [type(event) for event in cut.events()] == [Progress, Progress, Failed]
    assert all(json.loads(line) for line in log.read_text().splitlines())


def test_a_follower_gets_heartbeats(workspace: Workspace) -> None:
    def slow(config: object) -> Iterator[Event]:
        time.sleep(0.3)
        yield Note("at last")

    job = Jobs(workspace, {"convert": slow}).submit(ConvertJob())
    seen = list(job.follow(heartbeat_seconds=0.05))
    assert None in seen and isinstance(seen[-1], Ending)


def test_one_unreadable_job_folder_does_not_stop_the_program(workspace: Workspace) -> None:
    (workspace.root / "jobs" / "x").mkdir()
    (workspace.root / "jobs" / "x" / "job.json").write_text('{"kind": "gone"}')
    assert Jobs(workspace, {}).latest("gone") is None
