"""The gated unit of a transformer block's feed-forward part in one pass over memory, on NVIDIA GPUs.

PyTorch takes two passes, and six on the way back, over the widest activations of the model: gelu, product, their
gradients, and a copy that puts those side by side. Shazeer 2020, https://arxiv.org/abs/2002.05202.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamgui.ops.triton.precompile import Variant

_PIECE = 1024
_ROWS, _COLUMNS = 8, 256
"""A program's tile forwards. Every width of a Stable Diffusion UNet's gates divides by 256."""
_SHORT = (torch.float16, torch.bfloat16)


def geglu(both: Tensor) -> Tensor:
    """``a * gelu(b)``, gelu by the error function. Halves and result have one dtype, and it is computed in fp32.

    Args:
        both: [..., 2 width], a beside b, contiguous, on a GPU.

    Returns:
        [..., width].
    """
    return _Gated.apply(both)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        width = both.shape[-1] // 2
        out = both.new_empty(*both.shape[:-1], width)
        # Triton launches on the current device, whichever the tensors are on.
        with torch.cuda.device_of(both):
            rows = out.numel() // width
            grid = (triton.cdiv(rows, _ROWS), triton.cdiv(width, _COLUMNS))
            _gated[grid](both, out, rows, width, _ROWS, _COLUMNS)
        ctx.save_for_backward(both)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        gradient, back = grad_outputs[0].contiguous(), torch.empty_like(both)
        size = gradient.numel()
        with torch.cuda.device_of(both):
            _gated_back[(triton.cdiv(size, _PIECE),)](both, gradient, back, size, both.shape[-1] // 2, _PIECE)
        return back


def variants() -> list[Variant]:
    """Return what models ask for that generate in fp16 and train in bf16."""
    narrow, size = torch.bfloat16, 64
    return [
        *((_gated, (short, short, size, size, _ROWS, _COLUMNS)) for short in _SHORT),
        (_gated_back, (narrow, narrow, narrow, size, size, _PIECE)),
    ]


@triton.jit(do_not_specialize=["rows"])
def _gated(both, out, rows, width, tile_rows: tl.constexpr, tile_width: tl.constexpr):
    row = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)
    column = tl.program_id(1) * tile_width + tl.arange(0, tile_width)
    inside = (row < rows)[:, None] & (column < width)[None, :]
    first = row[:, None] * (2 * width) + column[None, :]
    a = tl.load(both + first, mask=inside).to(tl.float32)
    b = tl.load(both + first + width, mask=inside).to(tl.float32)
    value = a * 0.5 * b * (1.0 + tl.erf(b * 0.7071067811865476))
    tl.store(out + row[:, None] * width + column[None, :], value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _gated_back(both, gradient, back, size, width, piece: tl.constexpr):
    at = tl.program_id(0) * piece + tl.arange(0, piece)
    inside = at < size
    first = at + at // width * width
    a = tl.load(both + first, mask=inside).to(tl.float32)
    b = tl.load(both + first + width, mask=inside).to(tl.float32)
    g = tl.load(gradient + at, mask=inside).to(tl.float32)
    share = 0.5 * (1.0 + tl.erf(b * 0.7071067811865476))
    slope = share + b * 0.3989422804014327 * tl.exp(-0.5 * b * b)
    tl.store(back + first, (g * b * share).to(back.dtype.element_ty), mask=inside)
    tl.store(back + first + width, (g * a * slope).to(back.dtype.element_ty), mask=inside)
