"""One job: a recipe's run with a log on disk that anyone can replay, follow and stop.

A job belongs to nobody's browser: it goes on when the page closes, and a page that opens later reads the same
events from the first to the last. Only this module writes the ending event, exactly one a job.

Events are kept in memory and on the disk (:mod:`dreamgui.jobs.log`). A full disk ends no job: the log is completed
once there is room.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal, TypeVar

from PIL import Image

from dreamgui.config import JOBS, JobConfig
from dreamgui.errors import Damaged, DreamError, StopRequested
from dreamgui.events import Cancelled, Done, Ending, Event, Failed, Loss, Note
from dreamgui.jobs.log import JobLog
from dreamgui.jobs.stopping import Stop
from dreamgui.jobs.telling import unexpected, without_places
from dreamgui.workspace import is_disk_full, not_enough_disk, read_json

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Run = Callable[[JobConfig], Iterator[Event]]
_ENDED: dict[type[Ending], State] = {Done: "done", Failed: "failed", Cancelled: "cancelled"}
LOOK_SECONDS = 0.25
"""Time between two looks at the log of another program's job."""

AnyEvent = TypeVar("AnyEvent", bound=Event)


class Job:
    """One asked-for piece of work: its config, its folder, and its events as they come.

    Args:
        ours: this program runs it. The job of another living program is followed by reading its log.
        tells_paths: whoever reads its texts may know of the folders of this machine.

    Attributes:
        began: time by the monotonic clock, in seconds, at which it began; None while it waits.
    """

    def __init__(
        self, folder: Path, config: JobConfig, owner: str = "", ours: bool = True, tells_paths: bool = True
    ) -> None:
        self.began: float | None = None
        self._tells_paths = tells_paths
        self._ended_for = ""
        self.folder = folder
        self.config = config
        self.owner = owner
        self.ours = ours
        self._state: State = "waiting"
        self._log = JobLog(folder)
        self._told_pictures = False
        self._events: list[Event] = []
        self._news = threading.Condition()
        self._stop = Stop(folder)
        self._pictures = 0
        self._looked = -LOOK_SECONDS

    @property
    def id(self) -> str:
        """The job's name: the time of day when it was asked for, its number and its kind."""
        return self.folder.name

    @property
    def kind(self) -> str:
        """The kind of its config, which names its recipe."""
        return self.config.kind

    @property
    def state(self) -> State:
        """Return what the job does now, or how it has ended."""
        self._look()
        return self._state

    @property
    def ended(self) -> bool:
        """Return whether there is an ending event."""
        return self.state not in ("waiting", "running")

    @property
    def kept(self) -> bool:
        """Return whether all events are on the disk."""
        return self._log.whole

    def events(self, start: int = 0) -> list[Event]:
        """Return the events so far from number ``start`` on. Pictures are paths."""
        self._look()
        with self._news:
            return self._events[start:]

    def last(self, kind: type[AnyEvent]) -> AnyEvent | None:
        """Return the newest event of a kind, or None before there is one. It is found from the end, without a copy."""
        self._look()
        with self._news:
            return next((event for event in reversed(self._events) if isinstance(event, kind)), None)

    def follow(self, start: int = 0, heartbeat_seconds: float | None = 1.0) -> Iterator[Event | None]:
        """Replay the events from number ``start`` on, then go on live until the ending event.

        Args:
            start: how many events the caller knows already.
            heartbeat_seconds: yield None after so long without news, so that a listener notices that its
                client is gone; None waits without end.
        """
        position = start
        while True:
            self._look()
            with self._news:
                if len(self._events) <= position:
                    self._news.wait(heartbeat_seconds if self.ours else LOOK_SECONDS)
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
        """Return whether Stop was pressed, in this program or another."""
        return self._stop.is_pressed

    @property
    def since(self) -> str:
        """The time of day at which it was asked for, as 14:02."""
        return f"{self.id[9:11]}:{self.id[11:13]}"

    def stop(self) -> None:
        """Ask the job to stop. What it has saved is kept. One that still waits ends at once.

        Raises:
            NotEnoughDisk: the job is another program's, and there is no room to tell it.
        """
        if not self.ours:
            self._stop.press_elsewhere()
            return
        self._stop.press()
        with self._news:
            if self._state == "waiting":
                self._tell(Cancelled(seconds=0.0))

    def end_for(self, reason: str) -> None:
        """Stop the job as Stop does, and let its events say why."""
        self._ended_for = reason
        self.stop()

    def claim(self) -> bool:
        """Make this program the one that writes the log. Return False where another living program is."""
        self.ours = self._log.claim()
        return self.ours

    def settle(self) -> bool:
        """Release the log if all of it is on the disk. Return whether it is."""
        if self._log.flush():
            self._log.release()
        return self._log.whole

    def run(self, recipe: Run, between_steps: Callable[[], Iterator[Event]] = lambda: iter(())) -> None:
        """Run the recipe to its end and tell every event, and those of ``between_steps``: called by the worker only."""
        with self._news:
            if self._state == "waiting" and self.stopping:
                self._tell(Cancelled(seconds=0.0))
            if self.ended:
                return
            self._state = "running"
        self._log.begin()
        self.began = began = time.monotonic()
        try:
            for event in self._stop.thrown_into(recipe(self.config)):
                self._tell(event)
                for pause in between_steps() if isinstance(event, Loss) else ():
                    self._tell(pause)
            kind = Cancelled if self.stopping else Done
            ending: Ending = kind(seconds=round(time.monotonic() - began, 2))
        except StopRequested:
            ending = Cancelled(seconds=round(time.monotonic() - began, 2))
        except DreamError as error:
            ending = Failed(error.what, error.next_step)
        except (Exception, SystemExit) as error:  # the worker must outlive any job
            ending = unexpected(error, self.folder, self._tells_paths)
        if self._ended_for:
            self._tell(Note(self._ended_for))
        self._tell(ending)

    def _tell(self, event: Event) -> None:
        """Put pictures into files, the event into the log and then before the followers."""
        told = self._with_paths(event if self._tells_paths else without_places(event, self.folder))
        if told is None:
            return
        self._log.append(told)
        self._take([told])

    def _take(self, events: Sequence[Event]) -> None:
        with self._news:
            self._events += events
            if events and isinstance(events[-1], Ending):
                self._state = _ENDED[type(events[-1])]
            self._news.notify_all()

    def _look(self) -> None:
        """Take what another program has written meanwhile, and end its job if that program has died."""
        with self._news:
            if self.ours or self._state not in ("waiting", "running"):
                return
            # Many listeners may look; the log is read for all of them at once.
            if time.monotonic() - self._looked < LOOK_SECONDS:
                return
            self._looked = time.monotonic()
            left = self._log.claim()
            try:
                self._state = "running" if self._log.begun else "waiting"
                self._take(self._log.news())
                if left and not (self._events and isinstance(self._events[-1], Ending)):
                    self._log.cut()
                    what = "The program ended before this job did."
                    self._tell(
                        Failed(what, "Start it again; a training can be resumed if it saved a checkpoint.")
                    )
            finally:
                self._log.release()

    def _with_paths(self, event: Event) -> Event | None:
        """The event with its pictures in files, or a note in its place, once a job, where they can't be written.

        The work behind a picture is worth more than a look at it: a training goes on without.
        """
        for item in fields(event):
            picture = getattr(event, item.name)
            if isinstance(picture, Image.Image):
                path = self.folder / "images" / f"{self._pictures:06d}.png"
                try:
                    path.parent.mkdir(exist_ok=True)
                    picture.save(path, compress_level=1)
                except OSError as error:
                    with suppress(OSError):
                        path.unlink(missing_ok=True)
                    return self._without_picture(path, error)
                self._pictures += 1
                event = replace(event, **{item.name: path})
        return event

    def _without_picture(self, path: Path, error: OSError) -> Note | None:
        if self._told_pictures:
            return None
        self._told_pictures = True
        reason = not_enough_disk(path).what if is_disk_full(error) else f"{path} can't be written: {error}."
        return Note(f"{reason} The job goes on; its pictures are shown again once they can be written.")


def load(folder: Path) -> Job:
    """A job from its folder. One whose program died before its ending gets one, so that it isn't waited for."""
    data = read_json(folder / "job.json")
    config = JOBS[data["kind"]].model_validate_json(json.dumps(data["job"]))
    job = Job(folder, config, data["owner"], ours=False)
    job._pictures = len(list((folder / "images").glob("*")))
    job._look()
    return job
