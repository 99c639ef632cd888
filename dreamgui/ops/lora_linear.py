"""Frozen linear layers with a LoRA beside them, as one operation with a backward pass of its own.

peft's layer computes base, adapter, scaling and sum one after the other, and PyTorch's autograd does the same
backwards: 14 kernels, half of them over whole activations. Sums here are part of the matrix products: 8 kernels,
and for several layers that read the same input hardly more than for one.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def adapted_together(
    x: Tensor, weight: Tensor, mask: Tensor, downs: Sequence[Tensor], ups: Sequence[Tensor], scale: float
) -> tuple[Tensor, ...]:
    """Return what several layers of one size make of the same input, see :func:`adapted`.

    Args:
        x: [..., in].
        weight: theirs, frozen, one below the other, [layers * out, in]; they have no bias.
        mask: 1 on the diagonal, else 0, [layers, layers].
        downs, ups: of each layer A [rank, in] and B [out, rank].

    Returns:
        [..., out] of each layer.
    """
    return _Together.apply(x, weight, mask, scale, *downs, *ups).chunk(len(downs), dim=-1)


def _two_products(
    rows: Tensor, weight: Tensor, bias: Tensor | None, inner: Tensor, narrow: Tensor, scale: float
) -> Tensor:
    """``rows weight + bias + scale inner narrow``, all [from, to] but the bias."""
    if torch.compiler.is_compiling():
        return _opaque(rows, weight, bias, inner, narrow, scale)
    return _added_up(rows, weight, bias, inner, narrow, scale)


def _added_up(
    rows: Tensor, weight: Tensor, bias: Tensor | None, inner: Tensor, narrow: Tensor, scale: float
) -> Tensor:
    return functional.linear(rows, weight.t(), bias).addmm_(inner, narrow, alpha=scale)


@torch.library.custom_op("dreamgui::two_products", mutates_args=())
def _opaque(
    rows: Tensor, weight: Tensor, bias: Tensor | None, inner: Tensor, narrow: Tensor, scale: float
) -> Tensor:
    """For the compiler, which would copy the first product before it adds the second."""
    return _added_up(rows, weight, bias, inner, narrow, scale)


@_opaque.register_fake
def _(
    rows: Tensor, weight: Tensor, bias: Tensor | None, inner: Tensor, narrow: Tensor, scale: float
) -> Tensor:
    return rows.new_empty(rows.shape[0], weight.shape[1])


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ down.t()
        out = _two_products(rows, weight.t(), bias, inner, up.t(), scale)
        ctx.save_for_backward(rows, inner, weight, down, up)
        ctx.scale, ctx.shape = scale, x.shape
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Any, ...]:
        rows, inner, weight, down, up = ctx.saved_tensors
        gradient = grad_outputs[0].reshape(-1, weight.shape[0])
        to_inner, of_up = _scaled(ctx, gradient @ up, gradient.t() @ inner)
        of_x = _of_input(ctx, gradient, weight, to_inner, down)
        return of_x, None, None, to_inner.t() @ rows, of_up, None


class _Together(torch.autograd.Function):
    """All A are one matrix, all B the blocks on a matrix's diagonal: [layers * out, layers * rank]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, mask: Tensor, scale: float, *matrices: Tensor) -> Tensor:
        count = mask.shape[0]
        down, ups = torch.cat(matrices[:count]), torch.cat(matrices[count:])
        up = (ups.view(count, -1, 1, ups.shape[1]) * mask[:, None, :, None]).view(ups.shape[0], -1)
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ down.t()
        out = _two_products(rows, weight.t(), None, inner, up.t(), scale)
        ctx.save_for_backward(rows, inner, weight, down, up)
        ctx.scale, ctx.shape, ctx.count = scale, x.shape, count
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Any, ...]:
        rows, inner, weight, down, up = ctx.saved_tensors
        gradient = grad_outputs[0].reshape(-1, weight.shape[0])
        # Of each layer's own outputs with its own inner ones.
        outputs = gradient.view(len(rows), ctx.count, -1).permute(1, 2, 0)
        of_ups = torch.bmm(outputs, inner.view(len(rows), ctx.count, -1).transpose(0, 1))
        to_inner, of_ups = _scaled(ctx, gradient @ up, of_ups)
        of_x = _of_input(ctx, gradient, weight, to_inner, down)
        of_downs = (to_inner.t() @ rows).chunk(ctx.count)
        return of_x, None, None, None, *of_downs, *of_ups.unbind()


def _scaled(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
    return gradients if ctx.scale == 1 else tuple(each * ctx.scale for each in gradients)


def _of_input(ctx: Any, gradient: Tensor, weight: Tensor, to_inner: Tensor, down: Tensor) -> Tensor | None:
    if not ctx.needs_input_grad[0]:
        return None
    return _two_products(gradient, weight, None, to_inner, down, 1.0).view(ctx.shape)
