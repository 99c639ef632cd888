"""Biases of all positions, with gradients that our kernels sum on GPUs that have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dreamgui.ops.kernels import kernels


def is_trained(bias: Any) -> bool:
    """Return whether a gradient will be asked for, within a CUDA graph.

    Launched one by one, 200 sums take a slow processor 50 ms a step, and save the card one.
    """
    return isinstance(bias, Tensor) and bias.requires_grad and torch.is_grad_enabled() and captured(bias)


def captured(x: Tensor) -> bool:
    """Return whether what is done with ``x`` now goes into a CUDA graph."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def with_bias(
    function: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor, *more: Any, last: bool
) -> Tensor:
    """``function(x, weight, bias, ...)`` of a linear layer or a convolution, which adds the bias on its way.

    Args:
        last: whether channels are the result's last dimension, not its second.
    """
    return _BiasGradient.apply(function(x, weight, bias.detach(), *more), bias, last)


def add_everywhere(x: Tensor, each: Tensor) -> Tensor:
    """[n, channels, h, w] + [n, channels, 1, 1]."""
    return _Everywhere.apply(x, each)


class _BiasGradient(torch.autograd.Function):
    """Tells a bias its gradient. It has been added already."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor, last: bool) -> Tensor:
        ctx.last = last
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        gradient = grad_outputs[0]
        rows = gradient if ctx.last else gradient.movedim(1, -1)
        return gradient, _sums(rows.flatten(0, -2)[None])[0], None


class _Everywhere(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, each: Tensor) -> Tensor:
        return x + each

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        gradient = grad_outputs[0]
        return gradient, _sums(gradient.movedim(1, -1).flatten(1, -2))[..., None, None]


def _sums(rows: Tensor) -> Tensor:
    """[n, count, width] to [n, width]."""
    own = kernels(rows.device)
    return own.column_sums(rows) if own and own.adds(rows) else rows.sum(dim=1)
