"""Sums over the rows of a matrix in few microseconds, on NVIDIA GPUs: the gradient of whatever was added to all rows.

A step of Stable Diffusion 1.5's UNet asks for some 200 of them, of biases and of the time's embedding, for which
PyTorch takes 11 microseconds each on an H100, mostly for the tall, narrow matrices that it has few threads for.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamgui.ops.triton.precompile import Variant

_ROWS, _COLUMNS = 128, 64
"""What a program adds up at once. Every width of a Stable Diffusion UNet but its output's divides by 64."""
_ALONE = 4
"""So many of those one program adds up as fast as many programs and another one after them."""
_PARTS = 64
_SHORT = (torch.float16, torch.bfloat16)


def adds(rows: Tensor) -> bool:
    """Return whether :func:`column_sums` takes it: contiguous, half precision, on a GPU, of such a width."""
    suits = rows.is_contiguous() and not rows.shape[-1] % _COLUMNS
    # For another start Triton would make another kernel, which it can't while a CUDA graph is captured.
    return rows.is_cuda and rows.dtype in _SHORT and suits and not rows.data_ptr() % 16


def column_sums(rows: Tensor) -> Tensor:
    """[n, count, width] to [n, width], added up in fp32. See :func:`adds`."""
    n, count, width = rows.shape
    out = rows.new_empty(n, width)
    blocks = triton.cdiv(count, _ROWS)
    # Triton launches on the current device, whichever the tensors are on.
    with torch.cuda.device_of(rows):
        if blocks <= _ALONE:
            _sum[(n, 1, width // _COLUMNS)](rows, out, count, width, count, _ROWS, _COLUMNS)
            return out
        parts = rows.new_empty(n, blocks, width, dtype=torch.float32)
        _sum[(n, blocks, width // _COLUMNS)](rows, parts, count, width, _ROWS, _ROWS, _COLUMNS)
        _sum[(n, 1, width // _COLUMNS)](parts, out, blocks, width, blocks, _PARTS, _COLUMNS)
    return out


def variants() -> list[Variant]:
    """Return what trainings in bf16 ask for."""
    short, wide, size = torch.bfloat16, torch.float32, 64
    return [
        (_sum, (short, short, size, size, size, _ROWS, _COLUMNS)),
        (_sum, (short, wide, size, size, size, _ROWS, _COLUMNS)),
        (_sum, (wide, short, size, size, size, _PARTS, _COLUMNS)),
    ]


# One compiled kernel serves all heights; Triton would make others for multiples of 16 and for 1.
@triton.jit(do_not_specialize=["count", "share"])
def _sum(x, out, count, width, share, tile_rows: tl.constexpr, tile_columns: tl.constexpr):
    """Of a matrix the sums of ``share`` rows, of which the last program may have fewer."""
    matrix, block, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    columns = part * tile_columns + tl.arange(0, tile_columns)
    inner = tl.arange(0, tile_rows)
    first = block * share
    end = tl.minimum(first + share, count)
    total = tl.zeros([tile_columns], tl.float32)
    for start in range(first, end, tile_rows):
        rows = start + inner
        there = (matrix * count + rows)[:, None] * width + columns[None, :]
        value = tl.load(x + there, mask=(rows < end)[:, None], other=0.0).to(tl.float32)
        total += tl.sum(value, axis=0)
    at = out + (matrix * tl.num_programs(1) + block) * width + columns
    tl.store(at, total.to(out.dtype.element_ty))
