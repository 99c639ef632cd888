"""The losses of a training: read from the device in parcels, kept whole for checkpoints and the page."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamgui.diffusion.transfer import Readback
from dreamgui.errors import BadInput
from dreamgui.events import Loss, SampleLikeness, Validation
from dreamgui.training.steps.step import TrainingStep

SMOOTHED_STEPS = 50


class LossLog:
    """Losses and validations so far.

    Attributes:
        losses: of each step that was read, from the first.
        validations: in the order they were made.
        likenesses: of the samples, in the order of their steps.
        by_likeness: whether checkpoints are compared by likeness.
        board: TensorBoard's files, or None.
    """

    def __init__(self, training: TrainingStep, device: torch.device, board: Board | None = None) -> None:
        self.losses: list[Loss] = []
        self.validations: list[Validation] = []
        self.likenesses: list[SampleLikeness] = []
        self.by_likeness = False
        self.board = board
        self._training = training
        self._readback = Readback(device)
        self._rates: dict[int, float] = {}
        self._spent_seconds = 0.0

    def restored(
        self,
        losses: Iterable[Loss],
        validations: Iterable[Validation],
        likenesses: Iterable[SampleLikeness] = (),
    ) -> list[Loss | Validation | SampleLikeness]:
        """Take over what an earlier part of the run has measured. Return the same as events, by step."""
        self.losses, self.validations, self.likenesses = list(losses), list(validations), list(likenesses)
        events: list[Loss | Validation | SampleLikeness] = [*self.losses, *self.validations, *self.likenesses]
        return sorted(events, key=lambda event: event.step)

    def add(self, step: int, rate: float, measured: Tensor, began: float) -> list[Loss]:
        """Take a step's measurements. Return the losses that are known by now and weren't before.

        Args:
            began: ``time.monotonic()`` before the step.

        Raises:
            TrainingFailed: one isn't a number.
        """
        self._rates[step] = rate
        arrived = list(self._readback.add(step, measured))
        self._spent_seconds += time.monotonic() - began
        return self._take(arrived)

    def rest(self) -> list[Loss]:
        """The losses that are still on their way: to be called before anything is kept."""
        began = time.monotonic()
        arrived = list(self._readback.rest())
        self._spent_seconds += time.monotonic() - began
        return self._take(arrived)

    def validated(self, step: int, loss: float) -> Validation:
        """Take a look at the held-out photographs."""
        self.validations.append(Validation(step, loss))
        if self.board:
            self.board.write(step, {"validation": loss})
        return self.validations[-1]

    def sampled(self, likeness: SampleLikeness) -> SampleLikeness:
        """Take the likeness of a step's samples."""
        self.likenesses.append(likeness)
        if self.board and likeness.value is not None:
            self.board.write(likeness.step, {"likeness": likeness.value})
        return likeness

    @property
    def smoothed(self) -> float:
        """The mean loss, instance and prior together, of the last 50 steps."""
        last = self.losses[-SMOOTHED_STEPS:]
        return sum(loss.instance + (loss.prior or 0.0) for loss in last) / len(last)

    @property
    def quality(self) -> float | None:
        """Return the number that checkpoints are compared by, lower is better: the last validation, else the smoothed loss.

        By likeness it is the negative of the samples' likeness at this step, and None where it wasn't measured here.
        """
        if self.by_likeness:
            here = (look.value for look in self.likenesses if look.step == len(self.losses))
            value = next(here, None)
            return None if value is None else -value
        return self.validations[-1].loss if self.validations else self.smoothed

    @property
    def seconds(self) -> float:
        """Spent in steps so far."""
        return sum(loss.seconds for loss in self.losses)

    def _take(self, arrived: Sequence[tuple[int, list[float]]]) -> list[Loss]:
        new = []
        for step, values in arrived:
            report, seconds = self._training.read(values), self._spent_seconds / len(arrived)
            rate = self._rates.pop(step)
            new.append(Loss(step, report.instance, report.prior, rate, report.grad_norm, seconds))
            if self.board:
                self.board.loss(new[-1])
        if arrived:
            self._spent_seconds = 0.0
        self.losses += new
        return new


class Board:
    """TensorBoard's files, for those who compare runs there.

    Raises:
        BadInput: the package tensorboard isn't installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise BadInput(
                f"TensorBoard files need the package tensorboard, which can't be imported: {error}.",
                "Install it (pip install tensorboard), or leave them out.",
            ) from error
        self._writer: Any = SummaryWriter(str(folder))

    def loss(self, loss: Loss) -> None:
        """Write the numbers of a step."""
        prior = {} if loss.prior is None else {"loss/prior": loss.prior}
        values = {"learning_rate": loss.learning_rate, "grad_norm": loss.grad_norm}
        self.write(loss.step, {"loss/instance": loss.instance, **prior, **values})

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write numbers by name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Bring everything to the disk."""
        self._writer.close()
