"""The line before the device, and the one worker that runs its jobs. No job ends the worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from dreamgui.events import Event, Progress
from dreamgui.jobs.job import Job, Run

RETRY_SECONDS = 5.0
"""Time between two attempts to write what a full disk didn't take."""
QUICK = ("generate",)
"""Kinds of jobs that somebody looks forward to: a training lets them in between two of its steps."""


class Line:
    """The line before the device: one worker thread takes one job after the other, whoever asked for it.

    Args:
        lets_in: returns whether the running job may be interrupted between two of its steps, where it is asked.
    """

    def __init__(self, lets_in: Callable[[], bool] = lambda: False) -> None:
        self._lets_in = lets_in
        self._lock = threading.Lock()
        self._waiting: list[tuple[Job, Run]] = []
        self._count = threading.Semaphore(0)
        self._running: list[Job] = []
        self._worker: threading.Thread | None = None
        self._next_guest = 0.0

    def lets_in(self, job: Job) -> bool:
        """Return whether the running job lets this one in after its present step."""
        return job.kind in QUICK and self._lets_in()

    def put(self, job: Job, recipe: Run) -> None:
        """Let this job wait for its turn."""
        with self._lock:
            self._waiting.append((job, recipe))
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="device-worker", daemon=True)
                self._worker.start()
        self._count.release()

    def jobs(self) -> list[Job]:
        """Return the running job, the one that it has let in, and those that wait, in their order."""
        with self._lock:
            return [job for job in (*self._running, *(job for job, _ in self._waiting)) if not job.ended]

    def earlier(self, job: Job, own: Collection[Job]) -> None:
        """Let a waiting job change places with the nearest one before it among ``own``. Nobody else's is overtaken."""
        with self._lock:
            places = [place for place, (each, _) in enumerate(self._waiting) if each in own]
            at = next((number for number, place in enumerate(places) if self._waiting[place][0] is job), 0)
            if at:
                before, here = places[at - 1], places[at]
                line = self._waiting
                line[before], line[here] = line[here], line[before]

    def _work(self) -> None:
        while True:
            self._count.acquire()
            with self._lock:
                job, recipe = self._waiting.pop(0)
            self._run(job, recipe, lambda host=job: self._guest(host))

    def _run(self, job: Job, recipe: Run, between_steps: Callable[[], Iterator[Event]]) -> None:
        with self._lock:
            self._running.append(job)
        job.run(recipe, between_steps)
        with self._lock:
            self._running.remove(job)
        if not job.settle():
            threading.Thread(target=_settle_later, args=(job,), daemon=True).start()

    def _guest(self, host: Job) -> Iterator[Event]:
        """Run a quick job that waits, between two steps of its host. Yield what the host tells about it.

        After a guest the host has the device for as long as the guest had it.
        """
        if host.stopping or time.monotonic() < self._next_guest or not (found := self._take_quick()):
            return
        progress = host.last(Progress)
        if progress:
            yield replace(progress, label="Resting between two steps while pictures are generated")
        began = time.monotonic()
        self._run(*found, lambda: iter(()))
        self._next_guest = 2 * time.monotonic() - began
        if progress:
            yield progress

    def _take_quick(self) -> tuple[Job, Run] | None:
        with self._lock:
            place = next((at for at, (job, _) in enumerate(self._waiting) if self.lets_in(job)), None)
            if place is None:
                return None
            found = self._waiting.pop(place)
        # Whoever put it there counts it right afterwards.
        self._count.acquire()
        return found


def _settle_later(job: Job) -> None:
    """Write the rest of a log once there is room."""
    while not job.settle():
        time.sleep(RETRY_SECONDS)
