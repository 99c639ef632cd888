"""A training step that several processes do together, each with its own part of the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from dreamgui.diffusion.batches import Batch
from dreamgui.diffusion.mean_gradients import MeanGradients
from dreamgui.diffusion.step import TrainingStep
from dreamgui.errors import StopRequested, TrainingFailed

COMPARE_EVERY = 100


class SharedStep(TrainingStep):
    """A step of the whole batch, of which this process computes one part.

    Every process is given the whole batch, learns from its own share, and gets the mean of all gradients and
    losses: so all clip alike, move alike, and stay equal without anything being sent but gradients.

    Needs an initialised process group that takes tensors of the CPU and of the weights' device. All processes
    must make the same calls of :meth:`launch`, or of :meth:`before` and :meth:`learn`, and of
    :meth:`all_agree`; everything else may be called by one.
    """

    def __init__(self, *settings: Any, stop_wanted: Callable[[], bool] = lambda: False) -> None:
        """As a TrainingStep; ``stop_wanted`` is asked before each step, and one process's yes is all's."""
        super().__init__(*settings)
        self._mean: MeanGradients | None = None
        self._stop_wanted = stop_wanted
        self._launched = 0

    def before(self) -> None:
        """What the processes agree on before a step.

        Raises:
            StopRequested: in all processes before the same step, once it was wanted in one of them.
            TrainingFailed: the processes' weights differ, looked at every hundredth step.
        """
        super().before()
        if not self.all_agree(not self._stop_wanted()):
            raise StopRequested
        if self._launched % COMPARE_EVERY == 0:
            self._require_equal()
        self._launched += 1

    def all_agree(self, yes: bool) -> bool:
        """Whether every process says yes. A number of the CPU, so that no GPU is waited for."""
        vote = torch.tensor([yes], dtype=torch.uint8)
        dist.all_reduce(vote, dist.ReduceOp.MIN)
        return bool(vote.item())

    def parts(self, batch: Batch) -> list[Batch]:
        """This process's share."""
        return super().parts(batch.split(dist.get_world_size())[dist.get_rank()])

    def freeze_text(self) -> None:
        """As a TrainingStep; what no longer learns is no longer waited for."""
        super().freeze_text()
        if self._mean is not None:
            self._mean.close()
        self._mean = None

    def _backward(self, batch: Batch) -> Tensor:
        with self._mean_gradients():
            losses = super()._backward(batch)
        dist.all_reduce(losses)
        return losses / dist.get_world_size()

    @contextmanager
    def _mean_gradients(self) -> Iterator[None]:
        """After the backward passes inside, gradients are the mean of all processes'."""
        # Only now it is known what the gradients come to: the model may have been compiled meanwhile.
        if self._mean is None:
            self._mean = MeanGradients(self.leaves, self.settings.accumulate)
        with self._mean.taken():
            yield

    def _require_equal(self) -> None:
        mine = self.fingerprint()
        bounds = torch.stack([mine, -mine])
        dist.all_reduce(bounds, dist.ReduceOp.MAX)
        highest, lowest = bounds[0], -bounds[1]
        if not torch.equal(highest, lowest):
            raise TrainingFailed(
                f"The processes' weights have come apart: {int((highest != lowest).sum())} of {len(mine)} differ.",
                "Resume with one process, and please report this.",
            )
