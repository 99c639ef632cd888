"""The optimizer inside the backward pass: the gradients of all weights never exist at the same time.

As in Lv et al. 2023, https://arxiv.org/abs/2306.09782, with AdamW in place of SGD. What needs all gradients
together can't be done then: they aren't clipped by their common norm but each weight's by its own, which bites
less often; and several batches can't be added up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


class InBackward:
    """Moves each weight of an optimizer as soon as its gradient is there, then lets the gradient go.

    A weight whose gradient isn't a finite number stays where it is; weights nearer to the loss have moved by
    then.

    Args:
        max_norm: each weight's gradient is scaled down to this norm.
        scaling: whether the optimizer has AdamW's ``grad_scale`` and ``found_inf``; with others each gradient
            is waited for.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, max_norm: float, scaling: bool) -> None:
        self._optimizer: Any = optimizer
        self._max_norm = max_norm
        self._norms: list[Tensor] = []
        move = self._move_scaled if scaling else self._move_clipped
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.register_post_accumulate_grad_hook(partial(self._take, group, move))

    def forget(self) -> None:
        """Drop what a backward pass that broke off has left."""
        self._norms = []

    def norm(self) -> Tensor:
        """The common norm of the gradients of the backward pass that has ended, before clipping."""
        norms, self._norms = self._norms, []
        return torch.linalg.vector_norm(torch.stack(norms))

    @torch.no_grad()
    def _take(self, group: Mapping[str, Any], move: Any, weight: nn.Parameter) -> None:
        assert weight.grad is not None
        norm = torch.linalg.vector_norm(weight.grad, dtype=torch.float32)
        self._norms.append(norm)
        with _alone(self._optimizer, group, weight):
            move(weight.grad, norm)
        weight.grad = None

    def _move_scaled(self, gradient: Tensor, norm: Tensor) -> None:
        self._optimizer.grad_scale = (norm / self._max_norm).clamp(min=1.0)
        self._optimizer.found_inf = (~norm.isfinite()).float()
        self._optimizer.step()

    def _move_clipped(self, gradient: Tensor, norm: Tensor) -> None:
        size = norm.item()
        if math.isfinite(size):
            gradient.mul_(min(1.0, self._max_norm / max(size, 1e-12)))
            self._optimizer.step()


@contextmanager
def _alone(optimizer: Any, group: Mapping[str, Any], weight: nn.Parameter) -> Any:
    """Inside the block the optimizer knows this weight only. Looking at all of them would take long."""
    groups = optimizer.param_groups
    optimizer.param_groups = [{**group, "params": [weight]}]
    try:
        yield
    finally:
        optimizer.param_groups = groups
