"""The jobs of one workspace: asked for, listed, found again."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from typing import Any

from dreamgui import bootstrap
from dreamgui.config import JobConfig
from dreamgui.errors import AlreadyRunning, DreamError, UnknownName
from dreamgui.jobs.context import in_context
from dreamgui.jobs.job import Job, Run, load
from dreamgui.jobs.line import Line
from dreamgui.workspace import Workspace, report_full_disk, write_json

DOUBLE_PRESS_SECONDS = 2.0
_NUMBER = re.compile(r"\d{8}-\d{6}-(\d{6,})-")
_log = logging.getLogger(__name__)


class Jobs:
    """The jobs of one workspace.

    Args:
        line: the line of this program; workspaces that share a device share it.
        admit: raises a DreamError where no more jobs are taken.
        tells_paths: whoever reads the jobs' texts may know of the folders of this machine.
    """

    def __init__(
        self,
        workspace: Workspace,
        recipes: Mapping[str, Run],
        line: Line | None = None,
        admit: Callable[[], None] = lambda: None,
        tells_paths: bool = True,
    ) -> None:
        self._admit = admit
        self._tells_paths = tells_paths
        self._workspace = workspace
        self._recipes = recipes
        self._lock = threading.Lock()
        self._line = line or Line()
        self._pressed: tuple[float, Job] | None = None
        self._jobs: dict[str, Job] = {}
        self._unreadable: set[str] = set()
        self._discover()

    def submit(self, config: JobConfig, owner: str = "", behind: bool = False) -> Job:
        """Put a job in the line.

        Args:
            behind: also where a job of this kind runs or waits. The same job, asked for again within a double press,
                stays one job.

        Raises:
            AlreadyRunning: a job of this kind runs or waits; the message says which and since when.
            NotEnoughDisk: there is no room for the job's folder.
            DreamError: of ``admit``.
        """
        recipe = self._recipes[config.kind]
        with self._lock:
            self._discover()
            if behind and self._pressed and _is_double(*self._pressed, config):
                return self._pressed[1]
            if not behind and (busy := self.active(config.kind)):
                raise AlreadyRunning(
                    f"A {config.kind.replace('_', ' ')} job is already {busy[0].state}, since {busy[0].since} "
                    f"({busy[0].id}).",
                    "Follow it in its tab, stop it, or wait until it has ended.",
                )
            self._admit()
            job = self._new(config, owner)
            self._jobs[job.id] = job
            # ZeroGPU takes its minutes from whoever the request is of.
            self._line.put(job, in_context(recipe, copy_context()) if bootstrap.on_zero_gpu() else recipe)
            self._pressed = (time.monotonic(), job)
        return job

    def active(self, kind: str | None = None) -> list[Job]:
        """Jobs that run or wait, first in line first, another program's among them, as far as they are known."""
        line = self._line.jobs()
        found = [job for job in list(self._jobs.values()) if kind in (None, job.kind) and not job.ended]
        return sorted(found, key=lambda job: line.index(job) if job in line else -1)

    def earlier(self, job: Job) -> None:
        """Let a waiting job change places with the one of this workspace before it in this program's line."""
        self._line.earlier(job, list(self._jobs.values()))

    def ahead(self, job: Job) -> list[Job]:
        """Return what runs or waits before this job in this program's line, other workspaces' jobs among it."""
        line = self._line.jobs()
        return line[: line.index(job)] if job in line else []

    def comes_between(self, job: Job) -> bool:
        """Return whether the running training lets this waiting job in after its present step."""
        return self._line.lets_in(job)

    def latest(self, *kinds: str) -> Job | None:
        """The newest job of these kinds, from an earlier start of the program too."""
        return next((job for job in reversed(self._jobs.values()) if job.kind in kinds), None)

    def current(self, kind: str) -> Job | None:
        """The running job of this kind, else the newest."""
        running = (job for job in self.active(kind) if job.state == "running")
        return next(running, None) or self.latest(kind)

    def unfinished(self) -> Iterator[Job]:
        """Yield jobs of this program that failed or were stopped, newest first, but those that were asked for again."""
        later: list[Job] = []
        for job in reversed(list(self._jobs.values())):
            failed = job.ours and job.state in ("failed", "cancelled")
            if failed and not any(each.config == job.config for each in later):
                yield job
            later.append(job)

    def last_ended(self) -> Job | None:
        """The newest job that has ended, from an earlier start of the program too."""
        return next((job for job in reversed(self._jobs.values()) if job.ended), None)

    def get(self, job_id: str) -> Job:
        """The job of this id.

        Raises:
            UnknownName: there is none.
        """
        if job_id not in self._jobs:
            raise UnknownName(f"There is no job {job_id!r}.", "Open its tab to see the newest one.")
        return self._jobs[job_id]

    def _new(self, config: JobConfig, owner: str) -> Job:
        # Numbers, not times, tell the order: clocks are set back.
        number = 1 + max(map(_number, self._folders()), default=0)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        name = f"{stamp}-{number:06d}-{config.kind}-{secrets.token_hex(2)}"
        folder = self._workspace.place("jobs", name)
        # Only what was given: "not given" isn't "the default" (a resumed run has settings of its own).
        given = config.model_dump(mode="json", exclude_unset=True)
        data: dict[str, Any] = {"kind": config.kind, "owner": owner, "job": given}
        job = Job(folder, config, owner, tells_paths=self._tells_paths)
        try:
            with report_full_disk(folder / "job.json"):
                folder.mkdir()
                # Before job.json: another program reads that first, and must then find the lock held.
                job.claim()
                write_json(folder / "job.json", data)
        except (OSError, DreamError):
            job.settle()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return job

    def _discover(self) -> None:
        """Load the jobs of earlier starts and of other programs that aren't known yet."""
        for name in self._folders():
            if name in self._jobs or name in self._unreadable:
                continue
            folder = self._workspace.root / "jobs" / name
            if not (folder / "job.json").exists():
                # Another program is about to write it.
                continue
            try:
                self._jobs[name] = load(folder)
            except (ValueError, KeyError, TypeError, OSError) as error:
                self._unreadable.add(name)
                _log.warning("the job folder %s can't be read and is left out: %s", name, error)

    def _folders(self) -> list[str]:
        """Names of the jobs' folders, oldest first. Other things that lie there are passed over."""
        shelf = self._workspace.root / "jobs"
        names = (path.name for path in shelf.iterdir() if path.is_dir() and not path.name.startswith("."))
        return sorted(names, key=lambda name: (_number(name), name))


def _number(name: str) -> int:
    """A job's number, or 0 for jobs from before there were numbers, whose names sort by time."""
    match = _NUMBER.match(name)
    return int(match.group(1)) if match else 0


def _is_double(pressed: float, job: Job, config: JobConfig) -> bool:
    """Return whether this asks for the same job again, so soon that it is a double press."""
    return time.monotonic() - pressed < DOUBLE_PRESS_SECONDS and job.config == config and not job.ended
