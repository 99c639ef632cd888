"""Checkpoints of a training: all that it needs to go on as if it had never been broken off.

    step-000100/training.safetensors   weights, their average, optimizer state, losses so far
    step-000100/checkpoint.json        step, size of the other file, job, quality, loss scaling, numbers

A checkpoint is filled under another name, flushed and renamed, so that its name stands for a whole one. Data
order, noise and timesteps follow from seed and step (:mod:`dreamgui.training.steps.batches`) and need no saving.
"""

from __future__ import annotations

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

from dreamgui.errors import Damaged, TrainingFailed
from dreamgui.events import Loss, SampleLikeness, Validation
from dreamgui.training.checkpoint_files import CARD, TENSORS, checkpoint_name, read_checkpoint_card
from dreamgui.training.steps.optimizers import restore_state, state_numbers, state_tensors
from dreamgui.training.steps.step import TrainingStep
from dreamgui.workspace import new_folder, read_json, report_full_disk, write_json

_PATIENCE_STEPS = 5


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, read from the disk.

    Attributes:
        losses, validations, likenesses: every one so far.
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
    likenesses: list[SampleLikeness]

    def restore(self, training: TrainingStep) -> None:
        """Put weights, their average, optimizer and loss scaling back.

        Raises:
            Damaged: the checkpoint is of other weights, or was made with another optimizer.
        """
        weights = {name: training.peers.part(value) for name, value in self._of("weight").items()}
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
        state = {key: training.peers.part(value) for key, value in self._of("optimizer").items()}
        restore_state(training.optimizer, training.trained, state, self.numbers["optimizer"])
        training.scaler.load_state_dict(self.numbers["scaler"])

    def _of(self, kind: str) -> dict[str, Tensor]:
        prefix = f"{kind}/"
        return {
            key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)
        }


class MovementGuard:
    """Guard of a resumed training: weights that don't change are an error."""

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
        self._left: set[Path] = set()

    def save(
        self,
        step: int,
        training: TrainingStep,
        losses: Sequence[Loss],
        job: dict[str, Any],
        validations: Sequence[Validation] = (),
        quality: float | None = None,
        likenesses: Sequence[SampleLikeness] = (),
    ) -> Path:
        """Write a checkpoint, then remove all but the newest few and the one of the best quality.

        Raises:
            NotEnoughDisk: the disk is full; the earlier checkpoints are as they were.
        """
        target = self.folder / checkpoint_name(step)
        tensors = _measured(losses, validations, likenesses) | gathered(training)
        need_bytes = sum(tensor.nbytes for tensor in tensors.values())
        with (
            new_folder(target, need_bytes, self._after_full) as folder,
            report_full_disk(target, need_bytes, self._after_full, SafetensorError),
        ):
            save_file(tensors, folder / TENSORS)
            size = (folder / TENSORS).stat().st_size
            card = {"step": step, "size_bytes": size, "quality": quality, "job": job}
            write_json(folder / CARD, {**card, "numbers": _numbers(training)})
        for folder in self._left - {target}:
            shutil.rmtree(folder, ignore_errors=True)
        self.forget_left()
        self._prune()
        return target

    def forget_left(self) -> None:
        """Count all checkpoints again: those after the step that was gone back to are removed or replaced."""
        self._left.clear()

    def newest(self, until: int = 0) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that is whole, or None, and the names of newer ones that are not.

        Args:
            until: the step to go back to; 0 for the last one. Later checkpoints count no more, and are removed
                once another was saved.
        """
        if until:
            self._left = {folder for folder in self._folders() if folder.name > checkpoint_name(until)}
        broken = []
        for folder in reversed(self._folders()):
            try:
                return _read(folder), broken
            except (OSError, ValueError, KeyError, SafetensorError):
                broken.append(folder.name)
        return None, broken

    @property
    def kept(self) -> str:
        """A sentence that says which checkpoint a training that breaks down leaves, if any."""
        folders = self._folders()
        return f"The checkpoint {folders[-1].name} is kept." if folders else "No checkpoint was saved before."

    def best(self) -> Checkpoint | None:
        """The checkpoint of the lowest loss among those that are whole, None where none was measured."""
        for folder in self._by_quality():
            try:
                return _read(folder)
            except (OSError, ValueError, KeyError, SafetensorError):
                continue
        return None

    def clean_up(self) -> None:
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
        folders = (path for path in self.folder.glob("step-*") if path.is_dir())
        return sorted(path for path in folders if path not in self._left)

    @property
    def _after_full(self) -> str:
        """Return what to do when the disk is full."""
        return f"Make room and {'resume' if self._folders() else 'start again'}. {self.kept}"


def gathered(training: TrainingStep) -> dict[str, Tensor]:
    """Weights, their average and the optimizer's state, whole.

    Where weights are split all processes must call this; only the first gets more than empty tensors.
    """
    names: dict[Tensor, str] = {weight: name for name, weight in training.trained.items()}
    tensors = {
        f"weight/{name}": training.peers.whole(name, w.detach()).contiguous()
        for name, w in training.trained.items()
    }
    if training.average:
        tensors |= {f"average/{name}": w.contiguous() for name, w in training.average.weights.items()}
    for key, value in state_tensors(training.optimizer, names).items():
        tensors[f"optimizer/{key}"] = training.peers.whole(key.rpartition("/")[0], value)
    return tensors


def _measured(
    losses: Sequence[Loss], validations: Sequence[Validation], likenesses: Sequence[SampleLikeness]
) -> dict[str, Tensor]:
    return {
        "losses": torch.tensor([_row(loss) for loss in losses], dtype=torch.float64).reshape(-1, 6),
        "validations": torch.tensor([astuple(v) for v in validations], dtype=torch.float64).reshape(-1, 2),
        "likenesses": torch.tensor([_row(look) for look in likenesses], dtype=torch.float64).reshape(-1, 4),
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
    card = read_checkpoint_card(folder)
    tensors = load_file(folder / TENSORS)
    losses = [_loss(row) for row in tensors.pop("losses").tolist()]
    validations = [Validation(int(step), loss) for step, loss in tensors.pop("validations").tolist()]
    # Checkpoints of earlier versions have none.
    looks = tensors.pop("likenesses").tolist() if "likenesses" in tensors else []
    likenesses = [
        SampleLikeness(int(step), None if math.isnan(value) else value, int(faces), int(pictures))
        for step, value, faces, pictures in looks
    ]
    return Checkpoint(
        card["step"], losses, validations, card["job"], card["quality"], card["numbers"], tensors, likenesses
    )


def _quality(folder: Path) -> float | None:
    try:
        return read_json(folder / CARD)["quality"]
    except (OSError, ValueError, KeyError):
        return None


def _row(event: Loss | SampleLikeness) -> tuple[float, ...]:
    return tuple(math.nan if value is None else value for value in astuple(event))


def _loss(row: Sequence[float]) -> Loss:
    step, instance, prior, *rest = row
    return Loss(int(step), instance, None if math.isnan(prior) else prior, *rest)
