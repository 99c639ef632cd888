"""The trainings of a sweep in their order, in a file beside its report: it can be changed while it runs."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock

from dreamgui.training.run_requests import SKIP, RunRequests
from dreamgui.workspace import read_json, write_json

PointState = Literal["waiting", "running", "done", "failed", "skipped"]


class Point(NamedTuple):
    """One training of a sweep, by the name of its run."""

    run: str
    state: PointState


class SweepQueue:
    """``FOLDER/queue.json``. The recipe takes from it, the page changes it. Each change is one locked step."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "queue.json"
        self._lock = FileLock(folder / ".queue.lock")
        self._requests = RunRequests(folder)

    def plan(self, runs: Iterable[str]) -> None:
        """Begin, or begin again: all wait, in the order they were left in, but for those that were skipped."""
        wanted = list(dict.fromkeys(runs))
        with self._changing() as points:
            before = {point.run: point.state for point in points}
            ordered = [run for run in before if run in wanted] + [run for run in wanted if run not in before]
            points[:] = [
                Point(run, "skipped" if before.get(run) == "skipped" else "waiting") for run in ordered
            ]
        self._requests.forget()

    def points(self) -> list[Point]:
        """All, in their order, or nothing where there is no sweep."""
        return [Point(*each) for each in read_json(self._file)] if self._file.is_file() else []

    def next(self) -> str | None:
        """The next one that waits. From now on it is running."""
        with self._changing() as points:
            for place, point in enumerate(points):
                if point.state == "waiting":
                    points[place] = Point(point.run, "running")
                    return point.run
        return None

    def mark(self, run: str, state: PointState) -> None:
        """Record how a training ended."""
        with self._changing() as points:
            points[:] = [Point(run, state) if point.run == run else point for point in points]

    def move(self, run: str, places: int) -> None:
        """Let one that waits change places with the one before (-1) or behind it (1) that waits as well."""
        with self._changing() as points:
            waiting = [place for place, point in enumerate(points) if point.state == "waiting"]
            mine = next((n for n, place in enumerate(waiting) if points[place].run == run), None)
            if mine is not None and 0 <= mine + places < len(waiting):
                a, b = waiting[mine], waiting[mine + places]
                points[a], points[b] = points[b], points[a]

    def rename(self, old: str, new: str) -> None:
        """Call a training by its run's new name."""
        if any(point.run == old for point in self.points()):
            with self._changing() as points:
                points[:] = [Point(new, point.state) if point.run == old else point for point in points]

    def skip(self, run: str) -> None:
        """Leave one out. One that runs is stopped, and what it has trained is kept."""
        states = dict(self.points())
        if states.get(run) == "running":
            self._requests.ask(SKIP)
        elif states.get(run) == "waiting":
            self.mark(run, "skipped")

    def skip_requested(self) -> bool:
        """Return whether the one that runs is to be left out."""
        return self._requests.take(SKIP)

    def retry(self, run: str) -> None:
        """Let one that failed or was skipped wait again, behind all others."""
        with self._changing() as points:
            again = [point for point in points if point.run == run and point.state in ("failed", "skipped")]
            points[:] = [point for point in points if point not in again]
            points += [Point(run, "waiting") for _ in again]

    @contextmanager
    def _changing(self) -> Generator[list[Point], None, None]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            points = self.points()
            yield points
            write_json(self._file, points)
