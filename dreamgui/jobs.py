"""Jobs: one recipe's run with a log on disk that anyone can replay, follow and stop, and the one worker that runs them.

A job belongs to nobody's browser: it goes on when the page closes, and a page that opens later reads the same
events from the first to the last. Only this module writes the ending event, exactly one a job.
"""

from __future__ import annotations

import json
import logging
import queue
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, TextIO

from filelock import FileLock, Timeout
from PIL import Image

from dreamgui.config import JOBS, JobConfig
from dreamgui.errors import AlreadyRunning, Damaged, DreamError, StopRequested, UnknownName
from dreamgui.events import Cancelled, Done, Ending, Event, Failed, from_json, to_json
from dreamgui.workspace import Workspace, read_json, write_json

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Run = Callable[[JobConfig], Iterator[Event]]
_ENDED: dict[type[Ending], State] = {Done: "done", Failed: "failed", Cancelled: "cancelled"}
_log = logging.getLogger(__name__)


class Job:
    """One asked-for piece of work: its config, its folder, and its events as they come."""

    def __init__(self, folder: Path, config: JobConfig, owner: str = "") -> None:
        self.folder = folder
        self.config = config
        self.owner = owner
        self.state: State = "waiting"
        self._events: list[Event] = []
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._pictures = 0

    @property
    def id(self) -> str:
        """The job's name: the moment it was asked for and its kind."""
        return self.folder.name

    @property
    def kind(self) -> str:
        """The kind of its config, which names its recipe."""
        return self.config.kind

    @property
    def ended(self) -> bool:
        """Whether the ending event was written."""
        return self.state not in ("waiting", "running")

    def events(self) -> list[Event]:
        """All events so far; pictures are paths."""
        with self._news:
            return list(self._events)

    def follow(self, start: int = 0, heartbeat_seconds: float | None = 1.0) -> Iterator[Event | None]:
        """Replay the events from number ``start`` on, then go on live until the ending event.

        Args:
            start: how many events the caller knows already.
            heartbeat_seconds: yield None after so long without news, so that a listener notices that its
                client is gone; None waits without end.
        """
        position = start
        while True:
            with self._news:
                if len(self._events) <= position:
                    self._news.wait(heartbeat_seconds)
                news = self._events[position:]
            position += len(news)
            yield from news
            if news and isinstance(news[-1], Ending):
                return
            if not news:
                if self.ended and position >= len(self._events):
                    return
                yield None

    def wait(self) -> Ending:
        """Block until the job has ended and return how."""
        for event in self.follow(heartbeat_seconds=None):
            if isinstance(event, Ending):
                return event
        raise Damaged(f"The log of job {self.id} has no end.", "Start the job again.")

    @property
    def stopping(self) -> bool:
        """Whether Stop was pressed."""
        return self._stop.is_set()

    @property
    def since(self) -> str:
        """The time of day at which it was asked for, as 14:02."""
        return f"{self.id[9:11]}:{self.id[11:13]}"

    def stop(self) -> None:
        """Ask the job to stop; what it has saved is kept. One that still waits ends at once."""
        self._stop.set()
        with self._news:
            if self.state == "waiting":
                with (self.folder / "events.jsonl").open("a", encoding="utf-8") as log:
                    self._write(log, Cancelled(seconds=0.0))

    def run(self, recipe: Run) -> None:
        """Run the recipe to its end and write every event: called by the worker only."""
        with self._news:
            if self.ended:
                return
            self.state = "running"
        began = time.monotonic()
        with (
            FileLock(self.folder / ".lock"),
            (self.folder / "events.jsonl").open("a", encoding="utf-8") as log,
        ):
            try:
                for event in self._drive(recipe):
                    self._write(log, event)
                kind = Cancelled if self._stop.is_set() else Done
                ending: Ending = kind(seconds=round(time.monotonic() - began, 2))
            except StopRequested:
                ending = Cancelled(seconds=round(time.monotonic() - began, 2))
            except DreamError as error:
                ending = Failed(error.what, error.next_step)
            except Exception as error:  # the one place where nothing may escape: the worker must live on
                ending = self._unexpected(error)
            self._write(log, ending)

    def _drive(self, recipe: Run) -> Iterator[Event]:
        """The recipe's events; at the first yield after Stop, StopRequested is thrown in, once."""
        stream, told = recipe(self.config), False
        try:
            while True:
                if self._stop.is_set() and not told:
                    told = True
                    yield stream.throw(StopRequested()) if isinstance(stream, Generator) else next(stream)
                else:
                    yield next(stream)
        except StopIteration:
            return

    def _write(self, log: TextIO, event: Event) -> None:
        """Put pictures into files, the event into the log and then before the followers."""
        event = self._with_paths(event)
        log.write(json.dumps(to_json(event), ensure_ascii=False) + "\n")
        log.flush()
        with self._news:
            self._events.append(event)
            if isinstance(event, Ending):
                self.state = _ENDED[type(event)]
            self._news.notify_all()

    def _with_paths(self, event: Event) -> Event:
        for item in fields(event):
            picture = getattr(event, item.name)
            if isinstance(picture, Image.Image):
                path = self.folder / "images" / f"{self._pictures:06d}.png"
                path.parent.mkdir(exist_ok=True)
                picture.save(path, compress_level=1)
                self._pictures += 1
                event = replace(event, **{item.name: path})
        return event

    def _unexpected(self, error: Exception) -> Failed:
        _log.exception("job %s failed", self.id)
        details = self.folder / "error.txt"
        details.write_text(traceback.format_exc(), encoding="utf-8")
        return Failed(
            f"Something unforeseen went wrong: {type(error).__name__}: {str(error)[:300]}",
            f"The details are in {details}; please report them.",
        )


def load(folder: Path) -> Job:
    """A job from its folder. One whose process died without an ending gets one now, so that it isn't waited for."""
    data = read_json(folder / "job.json")
    job = Job(folder, JOBS[data["kind"]].model_validate_json(json.dumps(data["job"])), data["owner"])
    path = folder / "events.jsonl"
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    job._events = [from_json(json.loads(line)) for line in lines[:-1]]
    job._pictures = len(list((folder / "images").glob("*")))
    if job._events and isinstance(job._events[-1], Ending):
        job.state = _ENDED[type(job._events[-1])]
        return job
    try:
        with FileLock(folder / ".lock", timeout=0):
            whole = sum(len(line) + 1 for line in lines[:-1])
            with path.open("ab+") as handle:
                handle.truncate(whole)
            with path.open("a", encoding="utf-8") as log:
                what = "The program ended while this job was running."
                job._write(log, Failed(what, "Start it again; a training goes on from its last checkpoint."))
    except Timeout:
        job.state = "running"
    return job


class Jobs:
    """The line before the device: one worker thread takes one job after the other."""

    def __init__(self, workspace: Workspace, recipes: Mapping[str, Run]) -> None:
        self._workspace = workspace
        self._recipes = recipes
        self._lock = threading.Lock()
        self._line: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._jobs: dict[str, Job] = {}
        self._worker: threading.Thread | None = None
        for folder in sorted((workspace.root / "jobs").iterdir()):
            try:
                self._jobs[folder.name] = load(folder)
            except (ValueError, KeyError, FileNotFoundError) as error:
                _log.warning("the job folder %s can't be read and is left out: %s", folder, error)

    def submit(self, config: JobConfig, owner: str = "") -> Job:
        """Put a job in the line.

        Raises:
            AlreadyRunning: a job of this kind runs or waits; the message says which and since when.
        """
        with self._lock:
            if busy := self.active(config.kind):
                raise AlreadyRunning(
                    f"A {config.kind.replace('_', ' ')} job is already {busy[0].state}, since {busy[0].since} "
                    f"({busy[0].id}).",
                    "Follow it in its tab, stop it, or wait until it has ended.",
                )
            job = self._new(config, owner)
            self._jobs[job.id] = job
            self._line.put(job)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="device-worker", daemon=True)
                self._worker.start()
        return job

    def active(self, kind: str | None = None) -> list[Job]:
        """Jobs that run or wait in this process, first in line first."""
        return [job for job in self._jobs.values() if not job.ended and kind in (None, job.kind)]

    def ahead(self, job: Job) -> list[Job]:
        """What runs or waits before this job."""
        active = self.active()
        return active[: active.index(job)] if job in active else []

    def latest(self, kind: str) -> Job | None:
        """The newest job of this kind, from an earlier start of the program too."""
        return next((job for job in reversed(self._jobs.values()) if job.kind == kind), None)

    def get(self, job_id: str) -> Job:
        """The job of this id.

        Raises:
            UnknownName: there is none.
        """
        if job_id not in self._jobs:
            raise UnknownName(f"There is no job {job_id!r}.", "Open its tab to see the newest one.")
        return self._jobs[job_id]

    def _new(self, config: JobConfig, owner: str) -> Job:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folder = self._workspace.place("jobs", f"{stamp}-{config.kind}-{secrets.token_hex(2)}")
        data: dict[str, Any] = {"kind": config.kind, "owner": owner, "job": config.model_dump(mode="json")}
        write_json(folder / "job.json", data)
        return Job(folder, config, owner)

    def _work(self) -> None:
        while True:
            job = self._line.get()
            job.run(self._recipes[job.kind])
