"""Group normalisation that leaves channels last, forward and backward, on NVIDIA cards; with SiLU after it, if wanted.

PyTorch's own copies its input to channels first and leaves its output so; each convolution after it then copies
back, and what is added to it is read across the layout. Here each element is read where it is, twice. Sums are fp32.
Wu and He 2018, https://arxiv.org/abs/1803.08494. SiLU, ``z * sigmoid(z)``, costs nothing on the way.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamgui.diffusion.ahead import Variant

_ROWS, _CHANNELS = 128, 64
"""A program's tile: positions of one picture, channels. Every width of a Stable Diffusion UNet divides by 64."""
_GROUP = 128
"""No group is wider."""


def fits(x: Tensor, groups: int) -> bool:
    """Whether :func:`group_norm` takes this input [n, channels, h, w]: on a card, channels last, widths as above."""
    return takes(x, groups) and x.is_contiguous(memory_format=torch.channels_last)


def takes(x: Tensor, groups: int) -> bool:
    """Whether :func:`opaque_group_norm` takes it: as :func:`fits`, whichever layout it has."""
    return x.is_cuda and x.dim() == 4 and x.shape[1] % _CHANNELS == 0 and x.shape[1] <= groups * _GROUP


def group_norm(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5, silu: bool = False
) -> Tensor:
    """As torch.nn.functional.group_norm, channels last in and out.

    Args:
        x: [n, channels, h, w], see :func:`fits`.
        groups: divides the channels.
        weight, bias: [channels].
        eps: added to the variance.
        silu: whether SiLU comes after it.
    """
    return _GroupNorm.apply(x, groups, weight, bias, eps, silu)


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, silu: bool
    ) -> Tensor:
        y, terms, moments = _normed(x, groups, weight, bias, eps, silu)
        context.save_for_backward(x, weight, terms, moments)
        context.silu = silu
        return y

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(context, gradient, _normed_back)


@torch.library.custom_op("dreamgui::group_norm", mutates_args=())
def opaque_group_norm(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`group_norm` for torch.compile, which leaves it as it is and its neighbours' channels last.

    Returns:
        The norm, and what its backward pass needs.
    """
    return _normed(x.contiguous(memory_format=torch.channels_last), groups, weight, bias, eps, silu)


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
    return _normed_back(last, gradient, weight, terms, moments, silu)


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


def _normed(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    n, channels, height, width = x.shape
    positions = height * width
    blocks = triton.cdiv(positions, _ROWS)
    grid = (n, blocks, channels // _CHANNELS)
    sums = x.new_empty(n, blocks, 2, channels, dtype=torch.float32)
    terms = x.new_empty(n, 2, channels, dtype=torch.float32)
    moments = x.new_empty(n, groups, 2, dtype=torch.float32)
    # Of a single picture strides may say both layouts, as FSDP's views do; who comes next shall read this one.
    y = torch.empty_like(x, memory_format=torch.channels_last)
    # Triton launches on the current device, whichever the tensors are on.
    with torch.cuda.device_of(x):
        _sums[grid](x, x, x, sums, positions, channels, False, False, _ROWS, _CHANNELS)
        _terms[(n, groups)](
            sums, weight, bias, terms, moments, blocks, channels, channels // groups, positions, eps, _GROUP
        )
        _combine[grid](x, x, terms, terms, y, positions, channels, False, silu, _ROWS, _CHANNELS)
    return y, terms, moments


def _normed_back(
    x: Tensor, gradient: Tensor, weight: Tensor, terms: Tensor, moments: Tensor, silu: bool
) -> tuple[Tensor, Tensor]:
    """The gradient of x, and of weight and bias for each picture, fp32 [n, 2, channels]."""
    n, channels, height, width = x.shape
    groups, positions = moments.shape[1], height * width
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    blocks = triton.cdiv(positions, _ROWS)
    grid = (n, blocks, channels // _CHANNELS)
    sums = x.new_empty(n, blocks, 2, channels, dtype=torch.float32)
    back, parts = torch.empty_like(terms), torch.empty_like(terms)
    dx = torch.empty_like(x)
    with torch.cuda.device_of(x):
        _sums[grid](x, gradient, terms, sums, positions, channels, True, silu, _ROWS, _CHANNELS)
        _terms_back[(n, groups)](
            sums, weight, moments, back, parts, blocks, channels, channels // groups, positions, _GROUP
        )
        _combine[grid](x, gradient, terms, back, dx, positions, channels, True, silu, _ROWS, _CHANNELS)
    return dx, parts


def variants() -> list[Variant]:
    """What models ask for that draw in fp16 and learn in bf16."""
    narrow, wide, size, piece = torch.bfloat16, torch.float32, 64, (_ROWS, _CHANNELS)
    two = (False, True)
    return [
        *(each for short in (torch.float16, narrow) for each in _forwards(short)),
        *((_sums, (narrow, narrow, wide, wide, size, size, True, silu, *piece)) for silu in two),
        *((_combine, (narrow, narrow, wide, wide, narrow, size, size, True, silu, *piece)) for silu in two),
        (_terms_back, (wide, narrow, wide, wide, wide, 2, size, 2, size, _GROUP)),
    ]


def _forwards(short: torch.dtype) -> list[Variant]:
    wide, size, piece = torch.float32, 64, (_ROWS, _CHANNELS)
    return [
        (_sums, (short, short, short, wide, size, size, False, False, *piece)),
        (_terms, (wide, short, short, wide, wide, 2, size, 2, size, 1e-5, _GROUP)),
        *(
            (_combine, (short, short, wide, wide, short, size, size, False, silu, *piece))
            for silu in (False, True)
        ),
    ]


@triton.jit
def _through(gradient, value, terms, at, channels):
    """The gradient before SiLU, of the one after it: SiLU was of value * terms[0] + terms[1]."""
    z = value * tl.load(terms + at)[None, :] + tl.load(terms + at + channels)[None, :]
    share = 1.0 / (1.0 + tl.exp(-z))
    return gradient * share * (1.0 + z * (1.0 - share))


@triton.jit
def _sums(
    x,
    gradient,
    terms,
    sums,
    positions,
    channels,
    back_pass: tl.constexpr,
    silu: tl.constexpr,
    tile_rows: tl.constexpr,
    tile_width: tl.constexpr,
):
    """Of a tile, per channel: sum of x and of x * x; on the way back sum of g and of g * x."""
    picture, block, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    rows = block * tile_rows + tl.arange(0, tile_rows)
    columns = part * tile_width + tl.arange(0, tile_width)
    there = (picture * positions + rows)[:, None] * channels + columns[None, :]
    inside = (rows < positions)[:, None]
    value = tl.load(x + there, mask=inside, other=0.0).to(tl.float32)
    other = value
    if back_pass:
        other = tl.load(gradient + there, mask=inside, other=0.0).to(tl.float32)
        if silu:
            other = _through(other, value, terms, picture * 2 * channels + columns, channels)
    out = sums + (picture * tl.num_programs(1) + block) * 2 * channels + columns
    tl.store(out, tl.sum(other, axis=0))
    tl.store(out + channels, tl.sum(other * value, axis=0))


# One compiled kernel serves all widths; Triton would make others for multiples of 16 and for 1.
@triton.jit(do_not_specialize=["blocks", "width"])
def _terms(sums, weight, bias, terms, moments, blocks, channels, width, positions, eps, most: tl.constexpr):
    """Of a group: mean and 1 / deviation, and per channel what x is multiplied by and what is added."""
    picture, group = tl.program_id(0), tl.program_id(1)
    inner = tl.arange(0, most)
    used = inner < width
    columns = group * width + inner
    first = tl.zeros([most], tl.float32)
    second = tl.zeros([most], tl.float32)
    for block in range(blocks):
        at = sums + (picture * blocks + block) * 2 * channels + columns
        first += tl.load(at, mask=used, other=0.0)
        second += tl.load(at + channels, mask=used, other=0.0)
    count = width * positions
    mean = tl.sum(first, axis=0) / count
    variance = tl.maximum(tl.sum(second, axis=0) / count - mean * mean, 0.0)
    scale = 1.0 / tl.sqrt(variance + eps)
    at = moments + (picture * tl.num_programs(1) + group) * 2
    tl.store(at, mean)
    tl.store(at + 1, scale)
    times = scale * tl.load(weight + columns, mask=used, other=0.0).to(tl.float32)
    plus = tl.load(bias + columns, mask=used, other=0.0).to(tl.float32) - mean * times
    tl.store(terms + picture * 2 * channels + columns, times, mask=used)
    tl.store(terms + picture * 2 * channels + channels + columns, plus, mask=used)


@triton.jit(do_not_specialize=["blocks", "width"])
def _terms_back(sums, weight, moments, back, parts, blocks, channels, width, positions, most: tl.constexpr):
    """Of a group: dx = terms[0] * g + back[0] * x + back[1]; and the picture's part of the weights' gradients."""
    picture, group = tl.program_id(0), tl.program_id(1)
    inner = tl.arange(0, most)
    used = inner < width
    columns = group * width + inner
    first = tl.zeros([most], tl.float32)
    second = tl.zeros([most], tl.float32)
    for block in range(blocks):
        at = sums + (picture * blocks + block) * 2 * channels + columns
        first += tl.load(at, mask=used, other=0.0)
        second += tl.load(at + channels, mask=used, other=0.0)
    at = moments + (picture * tl.num_programs(1) + group) * 2
    mean = tl.load(at)
    scale = tl.load(at + 1)
    of_weight = scale * (second - mean * first)
    factor = tl.load(weight + columns, mask=used, other=0.0).to(tl.float32)
    count = width * positions
    mean_gradient = tl.sum(factor * first, axis=0) / count
    slope = scale * scale * tl.sum(factor * of_weight, axis=0) / count
    out = picture * 2 * channels + columns
    zero = tl.zeros([most], tl.float32)
    tl.store(back + out, zero - slope, mask=used)
    tl.store(back + out + channels, zero + mean * slope - scale * mean_gradient, mask=used)
    tl.store(parts + out, of_weight, mask=used)
    tl.store(parts + out + channels, first, mask=used)


@triton.jit
def _combine(
    x, gradient, terms, back, out, positions, channels,
    back_pass: tl.constexpr, silu: tl.constexpr, tile_rows: tl.constexpr, tile_width: tl.constexpr,
):  # fmt: skip
    """x * terms[0] + terms[1], and SiLU of it; on the way back gradient * terms[0] + x * back[0] + back[1]."""
    picture, block, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    rows = block * tile_rows + tl.arange(0, tile_rows)
    columns = part * tile_width + tl.arange(0, tile_width)
    there = (picture * positions + rows)[:, None] * channels + columns[None, :]
    inside = (rows < positions)[:, None]
    value = tl.load(x + there, mask=inside, other=0.0).to(tl.float32)
    at = picture * 2 * channels + columns
    times = tl.load(terms + at)[None, :]
    if back_pass:
        other = tl.load(gradient + there, mask=inside, other=0.0).to(tl.float32)
        if silu:
            other = _through(other, value, terms, at, channels)
        value = other * times + value * tl.load(back + at)[None, :] + tl.load(back + at + channels)[None, :]
    else:
        value = value * times + tl.load(terms + at + channels)[None, :]
        if silu:
            value = value / (1.0 + tl.exp(-value))
    tl.store(out + there, value.to(out.dtype.element_ty), mask=inside)
