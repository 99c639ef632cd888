"""Jobs that trained a run, and their events: the loss curve, samples and notes of a finished run.

A run's name may have been another one's before. Its jobs are those that ``library.json`` names, and those that
began a run of its name since a new training of it was last begun.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from dreamgui.events import Begun, Event, Loss, Sampled
from dreamgui.jobs.log import JobLog
from dreamgui.library.marks import read_marks
from dreamgui.workspace import Workspace, read_json

_NUMBER = re.compile(r"\d{8}-\d{6}-(\d{6,})-(train|sweep)")
_BEGUN = '"event": "Begun"'


def jobs_of(workspace: Workspace, run: Path) -> dict[str, str]:
    """Return the ids of the jobs that trained the run in this folder, oldest first, each with the run's name then."""
    recorded = read_marks(run).jobs
    name, last = _composed(run.name), max(map(_number, recorded), default=0)
    later: list[str] = []
    for job in _trainings(workspace):
        if _number(job) > last and name in _begun_runs(workspace.root / "jobs" / job):
            later = [*later, job] if _resumes(workspace.root / "jobs" / job) else [job]
    return {**recorded, **dict.fromkeys(later, name)}


def run_events(workspace: Workspace, run: Path) -> list[Event]:
    """Return all events of a run's jobs in their order. Of each step return the loss that was measured last.

    A job without a readable log has none. Paths of pictures are those of today's workspace.
    """
    found: list[Event] = []
    for job, name in jobs_of(workspace, run).items():
        found += _of_run(workspace.root / "jobs" / job, name)
    newest = {event.step: event for event in found if isinstance(event, Loss)}
    others = [event for event in found if not isinstance(event, Loss)]
    return [*others, *(newest[step] for step in sorted(newest))]


def last_sample(workspace: Workspace, run: Path) -> Path | None:
    """Return a run's newest sample that is still there."""
    for job, name in reversed(jobs_of(workspace, run).items()):
        folder = workspace.root / "jobs" / job
        if picture := _last_sample(folder, name, _changed_ns(folder / "events.jsonl")):
            return picture
    return None


@lru_cache(maxsize=1000)
def _last_sample(folder: Path, run: str, _changed: int) -> Path | None:
    samples = [event.image for event in _of_run(folder, run) if isinstance(event, Sampled)]
    return next((path for path in reversed(samples) if isinstance(path, Path) and path.is_file()), None)


def _of_run(folder: Path, run: str) -> list[Event]:
    """Events of one job that belong to this run: in a sweep, those up to the next run's beginning."""
    events = _events(folder)
    begun = {_composed(event.name) for event in events if isinstance(event, Begun) and event.what == "run"}
    if begun <= {run}:
        return events
    kept, ours = [], False
    for event in events:
        if isinstance(event, Begun) and event.what == "run":
            ours = _composed(event.name) == run
        if ours:
            kept.append(event)
    return kept


def _events(folder: Path) -> list[Event]:
    try:
        return [_here(event, folder) for event in JobLog(folder).news()]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _here(event: Event, folder: Path) -> Event:
    """The event with its picture's path in the job's folder as it lies now."""
    if isinstance(event, Sampled) and isinstance(event.image, Path):
        return Sampled(event.step, event.prompt, event.seed, folder / "images" / event.image.name)
    return event


def _trainings(workspace: Workspace) -> Iterable[str]:
    names = [path.name for path in (workspace.root / "jobs").iterdir() if _NUMBER.match(path.name)]
    return sorted(names, key=lambda name: (_number(name), name))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _number(job: str) -> int:
    match = _NUMBER.match(job)
    return int(match.group(1)) if match else 0


def _begun_runs(folder: Path) -> frozenset[str]:
    return _begun(folder / "events.jsonl", _changed_ns(folder / "events.jsonl"))


@lru_cache(maxsize=4000)
def _begun(log: Path, _changed: int) -> frozenset[str]:
    """Names of the runs that a job has begun. A training names its run before its first loss."""
    names = set()
    single = "-train-" in log.parent.name
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if _BEGUN in line:
                    data: dict[str, Any] = json.loads(line)
                    names |= {_composed(str(data["name"]))} if data.get("what") == "run" else set()
                    if single and names:
                        break
    except (OSError, ValueError, KeyError):
        return frozenset(names)
    return frozenset(names)


def _resumes(folder: Path) -> bool:
    """Return whether a job went on with runs that were there. A sweep may."""
    try:
        return "-sweep-" in folder.name or bool(read_json(folder / "job.json")["job"].get("resume"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
