"""A training step that several processes do together, each with its own part of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from dreamgui.diffusion.batches import Batch
from dreamgui.diffusion.step import TrainingStep
from dreamgui.errors import StopRequested, TrainingFailed

COMPARE_EVERY = 100


class SharedStep(TrainingStep):
    """A step of the whole batch, of which this process computes one part.

    Every process is given the whole batch, learns from its own share, and gets the mean of all gradients and
    losses: so all clip alike, move alike, and stay equal without anything being sent but gradients. They are
    sent while the backward pass still runs (Li et al. 2020, https://arxiv.org/abs/2006.15704).

    Needs an initialised process group that takes tensors of the CPU and of the weights' device. All processes
    must make the same calls of the constructor and of :meth:`launch`; everything else may be called by one.
    """

    def __init__(self, *settings: Any, stop_wanted: Callable[[], bool] = lambda: False) -> None:
        """As a TrainingStep; ``stop_wanted`` is asked before each step, and one process's yes is all's."""
        super().__init__(*settings)
        self.unet = _shared(self.unet)
        if self.text_learns:
            self._text_encoder = _shared(self._text_encoder)
        self._stop_wanted = stop_wanted
        self._launched = 0

    def launch(self, batch: Batch, learning_rate: float, text_learning_rate: float = 0.0) -> Tensor:
        """Learn from this process's part of a batch; what is measured is the mean of all processes.

        Raises:
            StopRequested: in all processes before the same step, once it was wanted in one of them.
            TrainingFailed: the processes' weights differ, looked at every hundredth step.
        """
        if self._agreed(self._stop_wanted()):
            raise StopRequested
        if self._launched % COMPARE_EVERY == 0:
            self._require_equal()
        self._launched += 1
        return super().launch(batch, learning_rate, text_learning_rate)

    def _backward(self, batch: Batch) -> Tensor:
        count = dist.get_world_size()
        losses = super()._backward(batch.split(count)[dist.get_rank()])
        dist.all_reduce(losses)
        return losses / count

    def _agreed(self, wanted: bool) -> bool:
        """Whether any process wants it. A number of the CPU, so that no GPU is waited for."""
        vote = torch.tensor([wanted], dtype=torch.uint8)
        dist.all_reduce(vote, dist.ReduceOp.MAX)
        return bool(vote.item())

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


def _shared(module: Any) -> DistributedDataParallel:
    # The gradients lie in what is sent: no second copy of them, and buffers (there are none that change) stay.
    return DistributedDataParallel(module, broadcast_buffers=False, gradient_as_bucket_view=True)
