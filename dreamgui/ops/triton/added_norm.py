"""Sums and layer norms of a transformer block in one pass, and sums with a bias, on NVIDIA GPUs. They have no backward pass.

A block adds what each of its parts gives to its features and normalises the sum: PyTorch reads and writes them four
times, here it is twice. Ba, Kiros and Hinton 2016, https://arxiv.org/abs/1607.06450.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamgui.ops.triton.precompile import Variant

_PIECE = 1024
_WIDEST = 2048
"""Features of a row at most; Stable Diffusion 1.5 has 320 to 1280."""


def takes_rows(width: int) -> bool:
    """Return whether :func:`added_norm` takes rows of this width."""
    return width <= _WIDEST and width % 8 == 0


def added_norm(
    x: Tensor,
    more: Tensor | None,
    bias: Tensor | None,
    weight: Tensor,
    shift: Tensor,
    eps: float,
    later: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return ``x + more + bias`` and its layer norm. Without ``more`` return x itself and its norm. Sums are fp32.

    To the sum that is returned, not to the one that is normalised, ``later`` [width] is added: the bias of what will
    be added to it next.

    Args:
        x, more: [..., width], contiguous, on a GPU.
        bias: [width]; given where ``more`` is.
        weight, shift: of the norm, [width].
        eps: added to the variance.
    """
    width = x.shape[-1]
    rows = x.numel() // width
    adds = more is not None
    total = torch.empty_like(x) if adds else x
    normed = torch.empty_like(x)
    with torch.cuda.device_of(x):
        _added_norm[(rows,)](
            x, more if adds else x, bias if adds else weight, later if later is not None else weight,
            weight, shift, total, normed, width, eps, adds, later is not None,
            widest := triton.next_power_of_2(width), num_warps=_warps(widest),
        )  # fmt: skip
    return total, normed


def _warps(width: int) -> int:
    """Warps of a program, each thread of which reads 8 features at once."""
    return max(1, width // 512)


def plus_bias(x: Tensor, more: Tensor, bias: Tensor) -> Tensor:
    """Return ``x + more + bias`` [n, channels, h, w], channels last. The bias is [channels]. Sums are fp32."""
    x, more = (each.contiguous(memory_format=torch.channels_last) for each in (x, more))
    out = torch.empty_like(x, memory_format=torch.channels_last)
    with torch.cuda.device_of(x):
        _plus_bias[(triton.cdiv(x.numel(), _PIECE),)](x, more, bias, out, x.numel(), len(bias), _PIECE)
    return out


def variants() -> list[Variant]:
    """Return what models ask for that generate in fp16."""
    half, size = torch.float16, 64
    return [
        *(
            (_added_norm, (*[half] * 8, size, 1e-5, adds, later, wide), {"num_warps": _warps(wide)})
            for adds, later in ((False, False), (True, False), (True, True))
            for wide in (512, 1024, 2048)
        ),
        (_plus_bias, (half, half, half, half, size, size, _PIECE)),
    ]


@triton.jit
def _added_norm(
    x, more, bias, next_bias, weight, shift, total, normed, width, eps,
    adds: tl.constexpr, later: tl.constexpr, widest: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    columns = tl.arange(0, widest)
    inside = columns < width
    at = row * width + columns
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    if adds:
        value += tl.load(more + at, mask=inside, other=0.0).to(tl.float32)
        value += tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
        kept = value
        if later:
            kept += tl.load(next_bias + columns, mask=inside, other=0.0).to(tl.float32)
        tl.store(total + at, kept.to(total.dtype.element_ty), mask=inside)
    mean = tl.sum(value, axis=0) / width
    apart = tl.where(inside, value - mean, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(apart * apart, axis=0) / width + eps)
    factor = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    plus = tl.load(shift + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + at, (apart * scale * factor + plus).to(normed.dtype.element_ty), mask=inside)


@triton.jit
def _plus_bias(x, more, bias, out, size, channels, piece: tl.constexpr):
    at = tl.program_id(0) * piece + tl.arange(0, piece)
    inside = at < size
    value = tl.load(x + at, mask=inside).to(tl.float32) + tl.load(more + at, mask=inside).to(tl.float32)
    value += tl.load(bias + at % channels, mask=inside).to(tl.float32)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)
