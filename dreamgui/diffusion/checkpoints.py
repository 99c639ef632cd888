"""Checkpoints of a training: all that it needs to go on as if it had never been broken off.

    step-000100/training.safetensors   weights, optimizer state, losses so far
    step-000100/checkpoint.json        step, size of the other file, job, loss scaling

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

from dreamgui.diffusion.step import TrainingStep
from dreamgui.errors import Damaged, NotEnoughDisk
from dreamgui.events import Loss
from dreamgui.workspace import new_folder, read_json, write_json

_TENSORS, _CARD = "training.safetensors", "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, read from the disk.

    Attributes:
        losses: every step so far.
        job: the TrainJob as JSON.
    """

    step: int
    losses: list[Loss]
    job: dict[str, Any]
    scaler: dict[str, Any]
    tensors: dict[str, Tensor]

    def restore(self, training: TrainingStep) -> None:
        """Put weights, optimizer and loss scaling back.

        Raises:
            Damaged: the checkpoint is of other weights.
        """
        saved = {
            key.removeprefix("weight/"): value
            for key, value in self.tensors.items()
            if key.startswith("weight/")
        }
        shapes = {name: weight.shape for name, weight in training.trained.items()}
        if {name: value.shape for name, value in saved.items()} != shapes:
            raise Damaged(
                f"The checkpoint of step {self.step} doesn't fit these settings.", "Start a new run."
            )
        for key, value in self.tensors.items():
            kind, _, rest = key.partition("/")
            if kind == "weight":
                training.trained[rest].data.copy_(value)
            else:
                name, _, field = rest.rpartition("/")
                weight = training.trained[name]
                training.optimizer.state[weight][field] = _like(value, weight)
        training.scaler.load_state_dict(self.scaler)


class Checkpoints:
    """The checkpoints in a run's folder."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, step: int, training: TrainingStep, losses: Sequence[Loss], job: dict[str, Any]) -> Path:
        """Write a checkpoint, then remove all but the newest few.

        Raises:
            NotEnoughDisk: the disk is full; the earlier checkpoints are as they were.
        """
        target = self.folder / f"step-{step:06d}"
        try:
            with new_folder(target) as folder:
                save_file(_tensors(training, losses), folder / _TENSORS)
                size = (folder / _TENSORS).stat().st_size
                card = {"step": step, "size_bytes": size, "scaler": training.scaler.state_dict(), "job": job}
                write_json(folder / _CARD, card)
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

    def sweep(self) -> None:
        """Remove what a killed process left half written."""
        for leftover in self.folder.glob(".step-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def clear(self) -> None:
        """Remove all checkpoints: the finished run doesn't need them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _prune(self) -> None:
        for folder in self._folders()[: -self.keep]:
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step-*") if path.is_dir())

    def _full(self, training: TrainingStep) -> NotEnoughDisk:
        need = 3 * sum(weight.nbytes for weight in training.trained.values())
        free = shutil.disk_usage(self.folder).free
        return NotEnoughDisk(
            f"A checkpoint needs {need / 1e6:.0f} MB on the disk; {self.folder} has {free / 1e6:.0f} MB.",
            "Make room and resume: the checkpoints from before are whole.",
        )


def _tensors(training: TrainingStep, losses: Sequence[Loss]) -> dict[str, Tensor]:
    tensors = {"losses": torch.tensor([_row(loss) for loss in losses], dtype=torch.float64).reshape(-1, 6)}
    for name, weight in training.trained.items():
        tensors[f"weight/{name}"] = weight.detach().contiguous()
        for key, value in training.optimizer.state[weight].items():
            tensors[f"optimizer/{name}/{key}"] = value.contiguous()
    return tensors


def _read(folder: Path) -> Checkpoint:
    card = read_json(folder / _CARD)
    path = folder / _TENSORS
    if path.stat().st_size != card["size_bytes"]:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, not {card['size_bytes']}")
    tensors = load_file(path)
    losses = [_loss(row) for row in tensors.pop("losses").tolist()]
    return Checkpoint(card["step"], losses, card["job"], card["scaler"], tensors)


def _row(loss: Loss) -> tuple[float, ...]:
    return tuple(math.nan if value is None else value for value in astuple(loss))


def _loss(row: Sequence[float]) -> Loss:
    step, instance, prior, *rest = row
    return Loss(int(step), instance, None if math.isnan(prior) else prior, *rest)


def _like(value: Tensor, weight: Tensor) -> Tensor:
    """On the weight's device and, where as large, in its memory format, as the fused optimizer expects."""
    if value.shape != weight.shape:
        return value.to(weight.device)
    return torch.empty_like(weight, requires_grad=False).copy_(value)
