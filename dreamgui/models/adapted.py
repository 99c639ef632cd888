"""A frozen linear layer with a LoRA beside it, as one operation with a backward pass of its own.

peft's layer computes base, adapter, scaling and sum one after the other, and PyTorch's autograd does the same
backwards: 14 kernels, half of them over whole activations. Sums here are part of the matrix products: 8 kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def adapted(x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """``x W' + b + scale (x A') B'``, all of one format (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    Args:
        x: [..., in].
        weight, bias: the frozen layer's, [out, in] and [out]; they get no gradient.
        down, up: A [rank, in] and B [out, rank].

    Returns:
        [..., out].
    """
    return _Adapted.apply(x, weight, bias, down, up, scale)


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ down.t()
        out = functional.linear(rows, weight, bias).addmm_(inner, up.t(), alpha=scale)
        ctx.save_for_backward(rows, inner, weight, down, up)
        ctx.scale, ctx.shape = scale, x.shape
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Any, ...]:
        rows, inner, weight, down, up = ctx.saved_tensors
        gradient = grad_outputs[0].reshape(-1, weight.shape[0])
        to_inner = gradient @ up
        of_up = gradient.t() @ inner
        if ctx.scale != 1:
            to_inner, of_up = to_inner * ctx.scale, of_up * ctx.scale
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (gradient @ weight).addmm_(to_inner, down).view(ctx.shape)
        return of_x, None, None, to_inner.t() @ rows, of_up, None
