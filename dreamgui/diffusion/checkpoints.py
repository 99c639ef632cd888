"""Checkpoints of a training: all that it needs to go on as if it had never been broken off.

    step-000100/training.safetensors   weights, their average, optimizer state, losses so far
    step-000100/checkpoint.json        step, size of the other file, job, quality, loss scaling, numbers

A checkpoint is filled under another name, flushed and renamed, so that its name stands for a whole one. Data
order, noise and timesteps follow from seed and step (:mod:`dreamgui.diffusion.batches`) and need no saving.
"""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dreamgui.diffusion.optimizers import restore_state, state_numbers, state_tensors
from dreamgui.diffusion.step import TrainingStep
from dreamgui.errors import Damaged, NotEnoughDisk, TrainingFailed
from dreamgui.events import Loss, Validation
from dreamgui.workspace import new_folder, read_json, write_json

_TENSORS, _CARD = "training.safetensors", "checkpoint.json"
_PATIENCE_STEPS = 5


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, read from the disk.

    Attributes:
        losses, validations: every one so far.
        job: the TrainJob as JSON.
        quality: the loss by which checkpoints are compared, lower is better; None where it wasn't measured.
        numbers: of loss scaling ("scaler"), optimizer ("name", "optimizer") and average ("updates").
    """

    step: int
    losses: list[Loss]
    validations: list[Validation]
    job: dict[str, Any]
    quality: float | None
    numbers: dict[str, Any]
    tensors: dict[str, Tensor]

    def restore(self, training: TrainingStep) -> None:
        """Put weights, their average, optimizer and loss scaling back.

        Raises:
            Damaged: the checkpoint is of other weights, or was made with another optimizer.
        """
        weights = {name: training.part(value) for name, value in self._of("weight").items()}
        forms = {name: (weight.shape, weight.dtype) for name, weight in training.trained.items()}
        averaged = "updates" in self.numbers
        made_with = self.numbers["name"], averaged
        if {name: (value.shape, value.dtype) for name, value in weights.items()} != forms or made_with != (
            training.settings.optimizer,
            training.average is not None,
        ):
            raise Damaged(
                f"The checkpoint of step {self.step} doesn't fit these settings.", "Start a new run."
            )
        for name, value in weights.items():
            training.trained[name].data.copy_(value)
        if training.average:
            training.average.updates = self.numbers["updates"]
            for name, value in self._of("average").items():
                training.average.weights[name].copy_(value)
        state = {key: training.part(value) for key, value in self._of("optimizer").items()}
        restore_state(training.optimizer, training.trained, state, self.numbers["optimizer"])
        training.scaler.load_state_dict(self.numbers["scaler"])

    def _of(self, kind: str) -> dict[str, Tensor]:
        prefix = f"{kind}/"
        return {
            key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)
        }


class MovementGuard:
    """After a training was resumed its weights must move: one that silently learns nothing is an error."""

    def __init__(self, training: TrainingStep) -> None:
        self._training = training
        self._before = training.fingerprint()
        self._looks = 0
        self._moved = False

    def look(self, last: bool) -> None:
        """To be called after each step.

        Raises:
            TrainingFailed: no weight has changed within five steps, or until the last.
        """
        if self._moved:
            return
        self._looks += 1
        self._moved = not torch.equal(self._before, self._training.fingerprint())
        if not self._moved and (last or self._looks >= _PATIENCE_STEPS):
            raise TrainingFailed(
                f"No weight has changed in {self._looks} steps after the training was resumed.",
                "Start a new run, and please report this.",
            )


class Checkpoints:
    """The checkpoints in a run's folder."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep
        self.keep_best = True

    def save(
        self,
        step: int,
        training: TrainingStep,
        losses: Sequence[Loss],
        job: dict[str, Any],
        validations: Sequence[Validation] = (),
        quality: float | None = None,
    ) -> Path:
        """Write a checkpoint, then remove all but the newest few and the one of the best quality.

        Raises:
            NotEnoughDisk: the disk is full; the earlier checkpoints are as they were.
        """
        target = self.folder / f"step-{step:06d}"
        try:
            with new_folder(target) as folder:
                save_file(_measured(losses, validations) | gathered(training), folder / _TENSORS)
                size = (folder / _TENSORS).stat().st_size
                card = {"step": step, "size_bytes": size, "quality": quality, "job": job}
                write_json(folder / _CARD, {**card, "numbers": _numbers(training)})
        except (OSError, SafetensorError) as error:
            if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
                raise self._full(training) from error
            raise
        self._prune()
        return target

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that is whole, or None, and the names of newer ones that are not."""
        broken = []
        for folder in reversed(self._folders()):
            try:
                return _read(folder), broken
            except (OSError, ValueError, KeyError, SafetensorError):
                broken.append(folder.name)
        return None, broken

    def best(self) -> Checkpoint | None:
        """The checkpoint of the lowest loss among those that are whole, None where none was measured."""
        for folder in self._by_quality():
            try:
                return _read(folder)
            except (OSError, ValueError, KeyError, SafetensorError):
                continue
        return None

    def sweep(self) -> None:
        """Remove what a killed process left half written."""
        for leftover in self.folder.glob(".step-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def clear(self) -> None:
        """Remove all checkpoints: the finished run doesn't need them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _prune(self) -> None:
        best = self._by_quality()[:1] if self.keep_best else []
        for folder in self._folders()[: -self.keep]:
            if folder not in best:
                shutil.rmtree(folder, ignore_errors=True)

    def _by_quality(self) -> list[Path]:
        """Folders of measured checkpoints, the best first."""
        measured = [
            (quality, folder) for folder in self._folders() if (quality := _quality(folder)) is not None
        ]
        return [folder for _, folder in sorted(measured)]

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step-*") if path.is_dir())

    def _full(self, training: TrainingStep) -> NotEnoughDisk:
        need = 3 * sum(weight.nbytes for weight in training.trained.values())
        free = shutil.disk_usage(self.folder).free
        return NotEnoughDisk(
            f"A checkpoint needs {need / 1e6:.0f} MB on the disk; {self.folder} has {free / 1e6:.0f} MB.",
            "Make room and resume: the checkpoints from before are whole.",
        )


def gathered(training: TrainingStep) -> dict[str, Tensor]:
    """Weights, their average and the optimizer's state, whole.

    Where weights are split all processes must call this; only the first gets more than empty tensors.
    """
    names: dict[Tensor, str] = {weight: name for name, weight in training.trained.items()}
    tensors = {
        f"weight/{name}": training.whole(name, w.detach()).contiguous()
        for name, w in training.trained.items()
    }
    if training.average:
        tensors |= {f"average/{name}": w.contiguous() for name, w in training.average.weights.items()}
    for key, value in state_tensors(training.optimizer, names).items():
        tensors[f"optimizer/{key}"] = training.whole(key.rpartition("/")[0], value)
    return tensors


def _measured(losses: Sequence[Loss], validations: Sequence[Validation]) -> dict[str, Tensor]:
    return {
        "losses": torch.tensor([_row(loss) for loss in losses], dtype=torch.float64).reshape(-1, 6),
        "validations": torch.tensor([astuple(v) for v in validations], dtype=torch.float64).reshape(-1, 2),
    }


def _numbers(training: TrainingStep) -> dict[str, Any]:
    names: dict[Tensor, str] = {weight: name for name, weight in training.trained.items()}
    averaged = {"updates": training.average.updates} if training.average else {}
    return {
        "scaler": training.scaler.state_dict(),
        "name": training.settings.optimizer,
        "optimizer": state_numbers(training.optimizer, names),
        **averaged,
    }


def _read(folder: Path) -> Checkpoint:
    card = read_json(folder / _CARD)
    path = folder / _TENSORS
    if path.stat().st_size != card["size_bytes"]:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, not {card['size_bytes']}")
    tensors = load_file(path)
    losses = [_loss(row) for row in tensors.pop("losses").tolist()]
    validations = [Validation(int(step), loss) for step, loss in tensors.pop("validations").tolist()]
    return Checkpoint(
        card["step"], losses, validations, card["job"], card["quality"], card["numbers"], tensors
    )


def _quality(folder: Path) -> float | None:
    try:
        return read_json(folder / _CARD)["quality"]
    except (OSError, ValueError, KeyError):
        return None


def _row(loss: Loss) -> tuple[float, ...]:
    return tuple(math.nan if value is None else value for value in astuple(loss))


def _loss(row: Sequence[float]) -> Loss:
    step, instance, prior, *rest = row
    return Loss(int(step), instance, None if math.isnan(prior) else prior, *rest)
