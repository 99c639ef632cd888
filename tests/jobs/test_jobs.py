"""A job's log can be replayed, followed, stopped, and survives the process."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from filelock import FileLock
from PIL import Image

from dreamgui.config import ConvertJob, TrainJob
from dreamgui.errors import AlreadyRunning, BadInput, NotEnoughDisk, StopRequested
from dreamgui.events import Cancelled, Done, Ending, Event, Failed, Note, Progress, Sampled, Saved, from_json
from dreamgui.jobs import line as module
from dreamgui.jobs import log as job_log
from dreamgui.jobs.job import Job, load
from dreamgui.jobs.queue import Jobs
from dreamgui.workspace import Workspace, write_json


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


def test_what_was_given_is_kept_and_old_files_list_everything(workspace: Workspace) -> None:
    given = TrainJob(run="anna", resume=True)
    job = Jobs(workspace, {"train": counting}).submit(given)
    job.wait()
    again = load(job.folder).config
    assert again == given and again.model_fields_set == {"run", "resume"}
    file = job.folder / "job.json"
    old = {
        **json.loads(file.read_text("utf-8")),
        "job": given.model_dump(mode="json", exclude={"resume_from"}),
    }
    file.write_text(json.dumps(old), "utf-8")
    assert load(job.folder).config == given


class Disk:
    """A disk for logs that can be full: it takes what still fits of a line, as real ones do."""

    def __init__(self) -> None:
        self.room_bytes: int | None = None

    def write(self, file: BinaryIO, data: bytes) -> int:
        """What os.write does on such a disk."""
        if self.room_bytes == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = data if self.room_bytes is None else data[: self.room_bytes]
        if self.room_bytes is not None:
            self.room_bytes -= len(taken)
        return file.write(taken)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(job_log, "_write", disk.write)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    return disk


def on_disk(job: Job) -> list[Event]:
    """The whole lines of a job's log."""
    lines = (job.folder / "events.jsonl").read_bytes().split(b"\n")[:-1]
    return [from_json(json.loads(line)) for line in lines]


def until(condition: Callable[[], bool]) -> None:
    """Wait for a state."""
    while not condition():
        time.sleep(0.005)


def test_a_full_disk_ends_no_worker_and_the_log_is_made_whole_later(workspace: Workspace, disk: Disk) -> None:
    def fills(config: object) -> Iterator[Event]:
        yield Note("there is room")
        disk.room_bytes = 10
        yield Note("there is none: \u00e4\u0436")
        raise OSError(errno.ENOSPC, "No space left on device", "weights.bin")

    jobs = Jobs(workspace, {"train": fills, "convert": counting})
    first, second = jobs.submit(TrainJob()), jobs.submit(ConvertJob())
    ending = first.wait()
    assert isinstance(ending, Failed) and "weights.bin" in ending.what and "room" in ending.next_step
    assert isinstance(second.wait(), Done) and not jobs.active()
    assert on_disk(first) == first.events()[:1] and not first.kept
    disk.room_bytes = None
    until(lambda: first.kept and second.kept)
    assert on_disk(first) == first.events() and on_disk(second) == second.events()
    assert [type(event).__name__ for event in first.events()] == ["Note", "Note", "Failed"]


def test_pictures_that_find_no_room_end_no_training(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, save = [True, True, False], Image.Image.save

    def saved(self: Image.Image, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        if full.pop(0):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path)

    def samples(config: object) -> Iterator[Event]:
        for step in range(3):
            yield Sampled(step, "a cat", 0, Image.new("RGB", (8, 8)))

    monkeypatch.setattr(Image.Image, "save", saved)
    job = Jobs(workspace, {"train": samples}).submit(TrainJob())
    assert isinstance(job.wait(), Done)
    note, kept, _ = job.events()
    assert isinstance(note, Note) and "disk is full" in note.text and "goes on" in note.text
    assert isinstance(kept, Sampled) and kept.step == 2
    assert len(list((job.folder / "images").iterdir())) == 1


def test_a_job_that_finds_no_room_for_its_folder_is_refused_in_a_sentence(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(NotEnoughDisk, match="job.json"):
        Jobs(workspace, {"convert": counting}).submit(ConvertJob())
    assert list((workspace.root / "jobs").iterdir()) == []


def test_what_leaves_a_recipe_never_ends_the_worker(workspace: Workspace) -> None:
    def leaves(config: object) -> Iterator[Event]:
        yield Note("a file named \udce4")
        raise SystemExit("leaving")

    jobs = Jobs(workspace, {"train": leaves, "convert": counting})
    ending = jobs.submit(TrainJob()).wait()
    assert isinstance(ending, Failed) and "SystemExit" in ending.what
    assert isinstance(jobs.submit(ConvertJob()).wait(), Done)
    again = Jobs(workspace, {}).latest("train")
    assert again is not None and again.events() == jobs.get(again.id).events()


def test_another_program_on_the_same_home_leaves_waiting_jobs_alone(workspace: Workspace) -> None:
    jobs = Jobs(workspace, {"train": endless, "convert": counting})
    running, waiting = jobs.submit(TrainJob()), jobs.submit(ConvertJob())
    next(running.follow())
    others = Jobs(workspace, {"train": counting, "convert": counting})
    one, two = others.get(running.id), others.get(waiting.id)
    assert (one.state, two.state) == ("running", "waiting")
    with pytest.raises(AlreadyRunning):
        others.submit(ConvertJob())
    one.stop()
    assert isinstance(running.wait(), Cancelled) and isinstance(waiting.wait(), Done)
    until(lambda: running.kept and waiting.kept)
    assert isinstance(one.wait(), Cancelled) and two.wait() == waiting.wait()
    assert one.events() == running.events() and on_disk(waiting) == waiting.events()
    assert isinstance(others.submit(ConvertJob()).wait(), Done)


def test_a_waiting_job_can_be_stopped_from_another_program(workspace: Workspace) -> None:
    jobs = Jobs(workspace, {"train": endless, "convert": counting})
    running, waiting = jobs.submit(TrainJob()), jobs.submit(ConvertJob())
    Jobs(workspace, {}).get(waiting.id).stop()
    running.stop()
    assert isinstance(waiting.wait(), Cancelled) and len(waiting.events()) == 1


def test_a_job_of_a_killed_program_gets_its_ending_while_it_is_followed(workspace: Workspace) -> None:
    code = """
import sys, time
from pathlib import Path
from dreamgui.config import ConvertJob, TrainJob
from dreamgui.events import Note
from dreamgui.jobs.queue import Jobs
from dreamgui.workspace import Workspace

def endless(config):
    yield Note("running")
    time.sleep(600)

jobs = Jobs(Workspace(Path(sys.argv[1])), {"train": endless, "convert": endless})
next(jobs.submit(TrainJob()).follow())
jobs.submit(ConvertJob())
print("running", flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(workspace.root)], stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline().strip() == b"running"
        jobs = Jobs(workspace, {"train": counting})
        running, waiting = jobs.latest("train"), jobs.latest("convert")
        assert running is not None and waiting is not None
        assert (running.state, waiting.state) == ("running", "waiting")
    finally:
        process.kill()
        process.communicate()
    assert isinstance(running.wait(), Failed) and isinstance(waiting.wait(), Failed)
    assert on_disk(running) == running.events() == [Note("running"), running.wait()]
    assert isinstance(jobs.submit(TrainJob()).wait(), Done)


def test_the_newest_job_is_the_last_asked_for_whatever_the_clock_says(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = workspace.root / "jobs" / "20991231-235959-convert-ffff"
    old.mkdir()
    write_json(old / "job.json", {"kind": "convert", "owner": "", "job": {}})
    jobs = Jobs(workspace, {"convert": counting})
    names = []
    for stamp in ("20261025-025900", "20261025-020100", "20200101-000000"):
        monkeypatch.setattr(time, "strftime", lambda _, stamp=stamp: stamp)
        job = jobs.submit(ConvertJob())
        job.wait()
        names.append(job.id)
    newest = Jobs(workspace, {}).latest("convert")
    assert newest is not None and newest.id == names[-1] and newest.since == "00:00"


def test_stray_files_among_the_jobs_are_passed_over(workspace: Workspace) -> None:
    shelf = workspace.root / "jobs"
    (shelf / ".DS_Store").write_bytes(b"x")
    (shelf / "desktop.ini").write_bytes(b"x")
    (shelf / ".hidden").mkdir()
    for name, text in (("empty", ""), ("list", "[]"), ("text", '"x"')):
        (shelf / name).mkdir()
        (shelf / name / "job.json").write_text(text)
    (shelf / "folder" / "job.json").mkdir(parents=True)
    jobs = Jobs(workspace, {"convert": counting})
    assert isinstance(jobs.submit(ConvertJob()).wait(), Done)
