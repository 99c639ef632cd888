"""Data parallel training: each process trains on its own share of the batch, with the mean gradient of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch import distributed as dist

from dreamgui.errors import StopRequested, TrainingFailed
from dreamgui.training.parallel.mean_gradients import MeanGradients
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.peers import Peers

COMPARE_EVERY = 100
"""Steps between two comparisons of the processes' weights."""


class DataParallel(Peers):
    """Processes that each hold the whole model and stay equal: only gradients are sent.

    Every process is given the whole batch, takes its share, and gets the mean of all gradients and losses.

    Needs an initialised process group that takes tensors of the CPU and of the weights' device. All processes
    must make the same steps and the same calls of :meth:`all_agree`; everything else may be called by one.
    """

    def __init__(self, stop_wanted: Callable[[], bool] = lambda: False) -> None:
        """Stop all processes before the next step once ``stop_wanted`` returns True in one of them."""
        self._stop_wanted = stop_wanted
        self._mean: MeanGradients | None = None
        self._steps = 0

    def before(self, fingerprint: Callable[[], Tensor]) -> None:
        """Vote on stopping, and compare the weights every hundredth step.

        Raises:
            StopRequested: in all processes before the same step, once one of them wants to stop.
            TrainingFailed: the processes' weights differ.
        """
        if not self.all_agree(not self._stop_wanted()):
            raise StopRequested
        if not self.sharded and self._steps % COMPARE_EVERY == 0:
            _require_equal(fingerprint())
        self._steps += 1

    def share(self, batch: Batch) -> Batch:
        """Return the part of the batch that has this process's rank."""
        return batch.split(dist.get_world_size())[dist.get_rank()]

    @contextmanager
    def mean_gradients(self, leaves: Callable[[], Sequence[Tensor]], passes: int) -> Iterator[None]:
        """Send gradients while the backward passes inside still run."""
        # The leaves are known only now: the model may have been compiled since the step was made.
        if self._mean is None:
            self._mean = MeanGradients(leaves(), passes)
        with self._mean.taken():
            yield

    def leaves_changed(self) -> None:
        """Stop waiting for the gradients of the leaves known so far."""
        if self._mean is not None:
            self._mean.close()
        self._mean = None

    def mean_losses(self, losses: Tensor) -> Tensor:
        """Return the mean of all processes' losses, element by element."""
        dist.all_reduce(losses)
        return losses / dist.get_world_size()

    def all_agree(self, yes: bool) -> bool:
        """Return whether every process says yes. The vote is a CPU tensor, so no GPU is waited for."""
        vote = torch.tensor([yes], dtype=torch.uint8)
        dist.all_reduce(vote, dist.ReduceOp.MIN)
        return bool(vote.item())


def _require_equal(mine: Tensor) -> None:
    """Raise TrainingFailed where the processes' fingerprints differ."""
    bounds = torch.stack([mine, -mine])
    dist.all_reduce(bounds, dist.ReduceOp.MAX)
    highest, lowest = bounds[0], -bounds[1]
    if not torch.equal(highest, lowest):
        raise TrainingFailed(
            f"The processes' weights have come apart: {int((highest != lowest).sum())} of {len(mine)} differ.",
            "Resume with one process, and please report this.",
        )
