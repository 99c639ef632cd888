"""The program under test: its services on a home, jobs that are followed to their end, and its death by kill -9."""

from __future__ import annotations

import gc
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dreamgui.config import JobConfig
from dreamgui.errors import DreamError
from dreamgui.events import Ending, Event, Failed, Loss
from dreamgui.jobs.job import Job
from dreamgui.models.manager import Models
from dreamgui.services import Services
from dreamgui.workspace import Workspace
from tests.forked import FORK
from tests.sequences.disk import Disk

STUCK_SECONDS = 150.0


@dataclass
class Outcome:
    """How a job ended, and what it told."""

    ending: Ending
    events: list[Event] = field(default_factory=list)

    def named(self, kind: type[Any], what: str = "") -> list[Any]:
        """The events of a kind."""
        return [e for e in self.events if isinstance(e, kind) and (not what or e.what == what)]


class Program:
    """One start of the program on a home."""

    def __init__(self, home: Path) -> None:
        self.services = Services(Workspace(home))
        self.services._models = Models(self.services.workspace, torch.device("cpu"))

    def run(self, config: JobConfig, stop_after: int = 0) -> Outcome:
        """Submit a job and follow it; press Stop at the loss of step ``stop_after``, or at the first event for -1."""
        try:
            job = self.services.jobs.submit(config)
        except DreamError as error:
            return Outcome(Failed(error.what, error.next_step))
        events: list[Event] = []
        began = time.monotonic()
        for event in job.follow():
            assert time.monotonic() - began < STUCK_SECONDS, f"{job.id} is stuck after {events[-3:]}"
            if event is None:
                continue
            events.append(event)
            if stop_after == -1 or (isinstance(event, Loss) and event.step == stop_after):
                job.stop()
        return Outcome(job.wait(), events)

    def close(self) -> None:
        """End the worker thread, as leaving the program does."""
        self.services.jobs._line.put(_Leave(), None)  # type: ignore[arg-type]
        if worker := self.services.jobs._line._worker:
            worker.join(STUCK_SECONDS)
            assert not worker.is_alive(), "the worker is stuck"
        if self.services._models is not None:
            self.services._models.release()

    @property
    def jobs(self) -> list[Job]:
        """All jobs that it knows."""
        return list(self.services.jobs._jobs.values())


class _Leave:
    """Stands for a job at which the worker leaves."""

    def run(self, *_: object) -> None:
        raise SystemExit


def run_and_die(home: Path, config: JobConfig, disk: Disk, death: int) -> bool:
    """Run a job in a program of its own that dies by SIGKILL before its operation number ``death`` on the disk.

    Returns:
        Whether it died before it had ended the job.
    """
    child = FORK.Process(target=_die, args=(home, config, disk, death))
    child.start()
    child.join(STUCK_SECONDS)
    assert child.exitcode in (0, -signal.SIGKILL), f"the child is stuck or broke down: {child.exitcode}"
    return child.exitcode != 0


def _die(home: Path, config: JobConfig, disk: Disk, death: int) -> None:
    gc.freeze()
    torch.set_num_threads(1)
    failed = 1
    try:
        disk.death = death
        Program(home).run(config)
        failed = 0
    finally:
        # Not disk.death: leaving is no operation.
        disk.death = 0
        os._exit(failed)
