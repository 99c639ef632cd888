"""Group normalisation that leaves channels last, forward and backward, on NVIDIA GPUs, with SiLU after it, if wanted.

PyTorch's own copies its input to channels first and leaves its output so; each convolution after it then copies
back, and what is added to it is read across the layout. Here each element is read where it is, twice. Sums are fp32.
Wu and He 2018, https://arxiv.org/abs/1803.08494. SiLU, ``z * sigmoid(z)``, costs nothing on the way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dreamgui.ops.triton.group_norm_kernels import CHANNELS, GROUP, normed, normed_back


def fits(x: Tensor, groups: int) -> bool:
    """Return whether :func:`group_norm` takes this input [n, channels, h, w]: on a GPU, channels last, widths as above."""
    return takes(x, groups) and x.is_contiguous(memory_format=torch.channels_last)


def takes(x: Tensor, groups: int) -> bool:
    """Return whether :func:`opaque_group_norm` takes it: as :func:`fits`, whichever layout it has."""
    return x.is_cuda and x.dim() == 4 and x.shape[1] % CHANNELS == 0 and x.shape[1] <= groups * GROUP


def group_norm(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5, silu: bool = False
) -> Tensor:
    """Compute torch.nn.functional.group_norm, channels last in and out.

    Args:
        x: [n, channels, h, w], see :func:`fits`.
        groups: divides the channels.
        weight, bias: [channels].
        eps: added to the variance.
        silu: whether SiLU comes after it.
    """
    return _GroupNorm.apply(x, groups, weight, bias, eps, silu)


def shifted_group_norm(
    x: Tensor, shift: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    """SiLU of the group norm of ``x + shift``, channels last in and out. It has no backward pass.

    Args:
        x: [n, channels, h, w], see :func:`fits`.
        shift: [n, channels]; rows may lie apart.
        groups, weight, bias, eps: as :func:`group_norm`'s.
    """
    return normed(x, groups, weight, bias, eps, True, shift)[0]


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, silu: bool
    ) -> Tensor:
        y, terms, moments = normed(x, groups, weight, bias, eps, silu)
        context.save_for_backward(x, weight, terms, moments)
        context.silu = silu
        return y

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(context, gradient, normed_back)


@torch.library.custom_op("dreamgui::group_norm", mutates_args=())
def opaque_group_norm(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`group_norm` for torch.compile, which leaves it as it is and its neighbours' channels last.

    Returns:
        The norm, and what its backward pass needs.
    """
    return normed(x.contiguous(memory_format=torch.channels_last), groups, weight, bias, eps, silu)


@opaque_group_norm.register_fake
def _(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    n, channels = x.shape[:2]
    wide = torch.float32
    y = torch.empty_like(x, memory_format=torch.channels_last)
    return y, x.new_empty(n, 2, channels, dtype=wide), x.new_empty(n, groups, 2, dtype=wide)


@torch.library.custom_op("dreamgui::group_norm_back", mutates_args=())
def _opaque_back(
    x: Tensor, gradient: Tensor, weight: Tensor, terms: Tensor, moments: Tensor, silu: bool
) -> tuple[Tensor, Tensor]:
    last = x.contiguous(memory_format=torch.channels_last)
    return normed_back(last, gradient, weight, terms, moments, silu)


@_opaque_back.register_fake
def _(
    x: Tensor, gradient: Tensor, weight: Tensor, terms: Tensor, moments: Tensor, silu: bool
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x, memory_format=torch.channels_last), torch.empty_like(terms)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[0], inputs[2], *output[1:])
    ctx.silu = inputs[5]


def _opaque_gradients(context: Any, gradient: Tensor, *others: Tensor) -> tuple[Tensor | None, ...]:
    return _gradients(context, gradient, _opaque_back)


opaque_group_norm.register_autograd(_opaque_gradients, setup_context=_keep)


def _gradients(context: Any, gradient: Tensor, back: Any) -> tuple[Tensor | None, ...]:
    """Of x, groups, weight, bias, eps, silu."""
    x, weight, terms, moments = context.saved_tensors
    dx, parts = back(x, gradient, weight, terms, moments, context.silu)
    if not context.needs_input_grad[2]:
        return dx, None, None, None, None, None
    of_weight, of_bias = parts.sum(dim=0).to(weight.dtype)
    return dx, None, of_weight, of_bias, None, None
