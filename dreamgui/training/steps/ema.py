"""An average of the trainable weights, calmer than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The weights' moving average: after step t it is ``d * average + (1 - d) * weights``.

    ``d`` is ``decay``, but at most (1 + t) / (10 + t), so that a short training isn't held at its beginning
    (as TensorFlow's ExponentialMovingAverage does, and after it diffusers).

    Attributes:
        weights: the average, by the weights' names, in fp32 and on their device.
        updates: how many steps it has seen.
    """

    def __init__(self, trained: Mapping[str, nn.Parameter], decay: float) -> None:
        self._trained = trained
        self._decay = decay
        self.updates = 0
        self.weights: dict[str, Tensor] = {
            name: weight.detach().to(torch.float32, copy=True) for name, weight in trained.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights as they are now into the average."""
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        weights = [weight.detach() for weight in self._trained.values()]
        if all(weight.dtype == torch.float32 for weight in weights):
            torch._foreach_lerp_(list(self.weights.values()), weights, 1 - decay)
            return
        for average, weight in zip(self.weights.values(), weights, strict=True):
            average.lerp_(weight.float(), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the model has the average for its weights. Nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, weight in self._trained.items():
            weight.data, self.weights[name] = self.weights[name], weight.data
