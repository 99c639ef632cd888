"""Trainings that are killed by the system, and what must hold when they are resumed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import torch

from dreamgui.config import TrainJob
from dreamgui.events import Event, Loss
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.models.manager import Models
from dreamgui.recipes.train import train
from dreamgui.training import checkpoints
from dreamgui.training.resumable import LOCK
from dreamgui.workspace import Workspace

# Not forked from the test's own process: torch refuses to train in a fork of one that started threads for gradients.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Death:
    """When a training dies: after a step's loss, with half of that step's checkpoint written, or any time."""

    step: int = 0
    in_a_save: bool = False
    after_seconds: float = 0.0


def numbers(events: list[Event]) -> list[tuple[int, float, float | None, float]]:
    """What must be equal in equal runs: all of a loss but its seconds."""
    return [(e.step, e.instance, e.prior, e.grad_norm) for e in events if isinstance(e, Loss)]


def kill(workspace: Workspace, job: TrainJob, death: Death) -> bool:
    """Train in a child process that dies by SIGKILL; False where the run was finished before."""
    child = SERVER.Process(target=_die, args=(workspace.root, job, death))
    child.start()
    child.join(120)
    assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
    catalog = Catalog(workspace)
    return not any(card.name == job.run and card.finished for card in catalog.runs())


def resume(workspace: Workspace, models: Models, job: TrainJob) -> list[Event]:
    """Go on where the killed training left off, or from the beginning where it had no card yet."""
    begun = (workspace.place("runs", job.run) / "run.json").exists()
    return list(train(job.model_copy(update={"resume": begun}), workspace, models))


def leftovers(workspace: Workspace, job: TrainJob) -> list[str]:
    """What half-written things a killed save left in the run's folder."""
    folder = workspace.place("runs", job.run)
    return [path.name for path in folder.rglob(".*") if path.name != LOCK]


def _die(root: Path, job: TrainJob, death: Death) -> None:
    torch.set_num_threads(1)
    if death.after_seconds:
        threading.Timer(death.after_seconds, _kill_me).start()
    if death.in_a_save:
        _die_in_save(death.step)
    workspace = Workspace(root)
    for event in train(job, workspace, Models(workspace, torch.device("cpu"))):
        if not death.in_a_save and isinstance(event, Loss) and event.step == death.step:
            _kill_me()
    os._exit(0)


def _die_in_save(step: int) -> None:
    save = checkpoints.save_file

    def half(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save(tensors, path)
        if path.parent.name.startswith(f".step-{step:06d}"):
            os.truncate(path, path.stat().st_size // 2)
            _kill_me()

    checkpoints.save_file = half


def _kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
