"""Refusal to change what a training or another job works on now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from filelock import FileLock, Timeout

from dreamgui.errors import AlreadyRunning
from dreamgui.library.item import Item
from dreamgui.library.reading import read_json_file
from dreamgui.models.catalog.cards import RUN_CARD, RunCard
from dreamgui.training.resumable import already_training, is_training
from dreamgui.workspace import Workspace, read_json


def require_unused(workspace: Workspace, item: Item) -> None:
    """Return if no training and no job that runs or waits, of this program or another, uses the item.

    Raises:
        AlreadyRunning: one does.
    """
    run = item.folder.parent.parent if item.kind == "checkpoint" else item.folder
    if item.kind in ("run", "checkpoint") and is_training(run):
        raise already_training(run)
    if item.kind in ("base", "dataset") and (name := _trained_on(workspace, item)):
        raise AlreadyRunning(
            f"The run {name!r} is being trained on the {item.kind} {item.name!r}.",
            "Wait for its end, or stop it.",
        )
    wanted = item.run or item.name
    for job, given in _live_jobs(workspace):
        if wanted in given:
            raise AlreadyRunning(
                f"The {item.kind} {item.name!r} is used by the job {job}.", "Wait for its end, or stop it."
            )


def _trained_on(workspace: Workspace, item: Item) -> str:
    """The name of a run that is being trained on this base or dataset, or "" without one."""
    for run in (workspace.root / "runs").iterdir():
        card: RunCard | None = read_json_file(run / RUN_CARD, RunCard).content
        used = card and (card.base if item.kind == "base" else card.dataset) == item.name
        if used and is_training(run):
            return run.name
    return ""


def _live_jobs(workspace: Workspace) -> Iterator[tuple[str, set[str]]]:
    """Each job that runs or waits, with the texts that it was given."""
    for folder in (workspace.root / "jobs").iterdir():
        # Whoever makes a job holds its lock before job.json is there: this look disturbs no claim.
        if not ((folder / "job.json").is_file() and (folder / ".lock").exists()):
            continue
        try:
            with FileLock(folder / ".lock", timeout=0):
                continue
        except Timeout:
            with suppress(OSError, ValueError, KeyError, AttributeError):
                yield folder.name, set(_texts(read_json(folder / "job.json")["job"].values()))


def _texts(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(value)
