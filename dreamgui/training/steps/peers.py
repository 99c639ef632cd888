"""The other processes of a training, as the training step asks them. Here there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


class Peers:
    """Collectives of a training step, as a single process answers them.

    :mod:`dreamgui.training.parallel` overrides the answers for several processes.

    Attributes:
        sharded: each process holds only a part of each weight. All processes must then take part whenever the
            model computes, and make the same calls of all methods.
    """

    sharded = False

    def distribute(self, unet: Any, dtype: torch.dtype) -> dict[str, nn.Parameter]:
        """Distribute the UNet, to compute in ``dtype``. Return this process's trainable weights by name."""
        return {name: weight for name, weight in unet.named_parameters() if weight.requires_grad}

    def model(self, unet: Any) -> Any:
        """Return the callable that computes the UNet's output."""
        return unet

    def before(self, fingerprint: Callable[[], Tensor]) -> None:
        """Agree on the next step. A CUDA graph can't hold this.

        Args:
            fingerprint: returns one integer per weight tensor.

        Raises:
            StopRequested: one of several processes wants to stop; raised in all of them.
            TrainingFailed: the weights of several processes differ.
        """

    def share(self, batch: Any) -> Any:
        """Return this process's share of a batch."""
        return batch

    def mean_gradients(
        self, leaves: Callable[[], Sequence[Tensor]], passes: int
    ) -> AbstractContextManager[None]:
        """Return a context whose backward passes leave the mean gradient of all processes.

        Args:
            leaves: returns the tensors that get gradients.
            passes: number of backward passes inside the context.
        """
        return nullcontext()

    def leaves_changed(self) -> None:
        """Ask for the leaves again before the next step."""

    def mean_losses(self, losses: Tensor) -> Tensor:
        """Return the mean of all processes' losses, element by element."""
        return losses

    def norm(self, gradients: list[Tensor]) -> Tensor:
        """Return the common fp32 norm of the gradients, a scalar on their device."""
        return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, 2, torch.float32)))

    def clip(self, weights: list[nn.Parameter], max_norm: float) -> Tensor:
        """Scale the weights' gradients down to a common norm. Return the norm before."""
        return nn.utils.clip_grad_norm_(weights, max_norm, foreach=True)

    def spread_overflow(self, gradients: list[Tensor]) -> None:
        """Make each process's gradients non-finite where one process's are."""

    def all_agree(self, yes: bool) -> bool:
        """Return whether every process says yes."""
        return yes

    def from_first(self, *values: float) -> tuple[float, ...]:
        """Return the first process's values where all must act on them alike, else this process's own."""
        return values

    def whole(self, name: str, part: Tensor) -> Tensor:
        """Gather a tensor that belongs to the weight of this name.

        With sharded weights the first process gets it on the CPU, and the others get an empty tensor.
        """
        return part

    def part(self, whole: Tensor) -> Tensor:
        """Return this process's part of a tensor that :meth:`whole` returned."""
        return whole

    def whole_unet(self, unet: Any) -> Any:
        """Return the UNet to be saved by the first process. The others' may lack its weights."""
        return unet
