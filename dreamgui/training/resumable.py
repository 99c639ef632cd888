"""Runs that can be resumed: the one definition for page, API and command line, readable without torch.

A run can be resumed when it has a whole checkpoint and nobody trains it now. Whoever trains it holds the lock
in its folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dreamgui.errors import AlreadyRunning
from dreamgui.models.catalog.cards import RunCard
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.training.checkpoint_files import whole_steps
from dreamgui.workspace import Workspace

LOCK = ".lock"
CHECKPOINTS = "checkpoints"
_PATIENCE_SECONDS = 2
"""A look at a lock by :func:`is_training` takes less."""


def kept_steps(run: Path) -> list[int]:
    """Return the steps of the whole checkpoints in a run's folder, in ascending order."""
    return whole_steps(run / CHECKPOINTS)


def is_training(run: Path) -> bool:
    """Return whether a live process trains the run in this folder."""
    if not (run / LOCK).exists():
        return False
    try:
        with FileLock(run / LOCK, timeout=0):
            return False
    except Timeout:
        return True


def can_resume(workspace: Workspace, name: str) -> bool:
    """Return whether a run has a whole checkpoint to go on from, and isn't being trained."""
    folder = workspace.place("runs", name)
    return bool(kept_steps(folder)) and not is_training(folder)


def resumable(workspace: Workspace, catalog: Catalog) -> list[RunCard]:
    """Return the cards of the runs that can be resumed, oldest first."""
    return [card for card in catalog.runs() if can_resume(workspace, card.name)]


@contextmanager
def training_lock(run: Path) -> Iterator[None]:
    """Hold a run's folder while it is trained. A folder in which nothing was written is removed at the end.

    Raises:
        AlreadyRunning: another training holds it.
    """
    run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / LOCK)
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout as error:
        raise already_training(run) from error
    try:
        yield
    finally:
        lock.release()
        if run.is_dir() and all(path.name == LOCK for path in run.iterdir()):
            (run / LOCK).unlink(missing_ok=True)
            run.rmdir()


def already_training(run: Path) -> AlreadyRunning:
    """Return the error for a run that somebody else trains."""
    return AlreadyRunning(
        f"The run {run.name!r} is being trained by another job or process.",
        "Follow it there, or stop it and resume it then.",
    )
