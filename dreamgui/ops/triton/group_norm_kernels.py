"""The kernels of :mod:`dreamgui.ops.triton.group_norm`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamgui.ops.triton.precompile import Variant

ROWS, CHANNELS = 128, 64
"""A program's tile: positions of one picture, channels. Every width of a Stable Diffusion UNet divides by 64."""
GROUP = 128
"""No group is wider."""
_BLOCKS = 128
"""Sums of a picture at most, each of as many tiles as that takes: who adds them up reads one after the other."""


def normed(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, silu: bool, shift: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The result [n, channels, h, w], its terms [n, 2, channels] and moments [n, groups, 2], both fp32.

    With ``shift`` [n, channels] (rows may lie apart) that of x plus it, which nobody has to add up before.

    Raises:
        ValueError: the channels aren't whole tiles, or a group is too wide: the rest would stay unwritten memory.
    """
    n, channels, height, width = x.shape
    if channels % CHANNELS or channels > groups * GROUP:
        raise ValueError(
            f"{channels} channels in {groups} groups: these kernels take multiples of {CHANNELS}."
        )
    positions = height * width
    tiles = triton.cdiv(positions, ROWS)
    repeats = triton.cdiv(tiles, _BLOCKS)
    blocks = triton.cdiv(tiles, repeats)
    parts = channels // CHANNELS
    shifted = shift is not None
    sums = x.new_empty(n, blocks, 2, channels, dtype=torch.float32)
    terms = x.new_empty(n, 2, channels, dtype=torch.float32)
    moments = x.new_empty(n, groups, 2, dtype=torch.float32)
    # Of a single picture strides may say both layouts, as FSDP's views do; who comes next shall read this one.
    y = torch.empty_like(x, memory_format=torch.channels_last)
    # Triton launches on the current device, whichever the tensors are on.
    with torch.cuda.device_of(x):
        _sums[(n, blocks, parts)](x, x, x, sums, positions, channels, repeats, False, False, ROWS, CHANNELS)
        _terms[(n, groups)](
            sums, weight, bias, shift if shift is not None else weight, terms, moments, blocks, channels,
            channels // groups, positions, shift.stride(0) if shift is not None else 0, eps, shifted, GROUP,
        )  # fmt: skip
        _combine[(n, tiles, parts)](x, x, terms, terms, y, positions, channels, False, silu, ROWS, CHANNELS)
    return y, terms, moments


def normed_back(
    x: Tensor, gradient: Tensor, weight: Tensor, terms: Tensor, moments: Tensor, silu: bool
) -> tuple[Tensor, Tensor]:
    """The gradient of x, and of weight and bias for each picture, fp32 [n, 2, channels]."""
    n, channels, height, width = x.shape
    groups, positions = moments.shape[1], height * width
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    blocks = triton.cdiv(positions, ROWS)
    grid = (n, blocks, channels // CHANNELS)
    sums = x.new_empty(n, blocks, 2, channels, dtype=torch.float32)
    back, parts = torch.empty_like(terms), torch.empty_like(terms)
    dx = torch.empty_like(x)
    with torch.cuda.device_of(x):
        _sums[grid](x, gradient, terms, sums, positions, channels, 1, True, silu, ROWS, CHANNELS)
        _terms_back[(n, groups)](
            sums, weight, moments, back, parts, blocks, channels, channels // groups, positions, GROUP
        )
        _combine[grid](x, gradient, terms, back, dx, positions, channels, True, silu, ROWS, CHANNELS)
    return dx, parts


def variants() -> list[Variant]:
    """Return what models ask for that generate in fp16 and train in bf16."""
    narrow, wide, size, piece = torch.bfloat16, torch.float32, 64, (ROWS, CHANNELS)
    two = (False, True)
    return [
        *(each for short in (torch.float16, narrow) for each in _forwards(short)),
        *((_sums, (narrow, narrow, wide, wide, size, size, 2, True, silu, *piece)) for silu in two),
        *((_combine, (narrow, narrow, wide, wide, narrow, size, size, True, silu, *piece)) for silu in two),
        (_terms_back, (wide, narrow, wide, wide, wide, 2, size, 2, size, GROUP)),
    ]


def _forwards(short: torch.dtype) -> list[Variant]:
    wide, size, piece = torch.float32, 64, (ROWS, CHANNELS)
    return [
        (_sums, (short, short, short, wide, size, size, 2, False, False, *piece)),
        *(
            (_terms, (wide, short, short, short, wide, wide, 2, size, 2, size, 2, 1e-5, shifted, GROUP))
            for shifted in (False, True)
        ),
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


@triton.jit(do_not_specialize=["repeats"])
def _sums(
    x,
    gradient,
    terms,
    sums,
    positions,
    channels,
    repeats,
    back_pass: tl.constexpr,
    silu: tl.constexpr,
    tile_rows: tl.constexpr,
    tile_width: tl.constexpr,
):
    """Of some tiles, per channel: sum of x and of x * x, on the way back sum of g and of g * x."""
    picture, block, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    columns = part * tile_width + tl.arange(0, tile_width)
    first = tl.zeros([tile_width], tl.float32)
    second = tl.zeros([tile_width], tl.float32)
    for number in range(repeats):
        rows = (block * repeats + number) * tile_rows + tl.arange(0, tile_rows)
        there = (picture * positions + rows)[:, None] * channels + columns[None, :]
        inside = (rows < positions)[:, None]
        value = tl.load(x + there, mask=inside, other=0.0).to(tl.float32)
        other = value
        if back_pass:
            other = tl.load(gradient + there, mask=inside, other=0.0).to(tl.float32)
            if silu:
                other = _through(other, value, terms, picture * 2 * channels + columns, channels)
        first += tl.sum(other, axis=0)
        second += tl.sum(other * value, axis=0)
    out = sums + (picture * tl.num_programs(1) + block) * 2 * channels + columns
    tl.store(out, first)
    tl.store(out + channels, second)


# One compiled kernel serves all widths; Triton would make others for multiples of 16 and for 1.
@triton.jit(do_not_specialize=["blocks", "width", "apart"])
def _terms(
    sums, weight, bias, shift, terms, moments, blocks, channels, width, positions, apart, eps,
    shifted: tl.constexpr, most: tl.constexpr,
):  # fmt: skip
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
    each = tl.zeros([most], tl.float32)
    if shifted:
        # Of x + s per channel: sum(x) + n s, and sum(x * x) + 2 s sum(x) + n s * s.
        each = tl.load(shift + picture * apart + columns, mask=used, other=0.0).to(tl.float32)
        second += each * (2.0 * first + positions * each)
        first += positions * each
    count = width * positions
    mean = tl.sum(first, axis=0) / count
    variance = tl.maximum(tl.sum(second, axis=0) / count - mean * mean, 0.0)
    scale = 1.0 / tl.sqrt(variance + eps)
    at = moments + (picture * tl.num_programs(1) + group) * 2
    tl.store(at, mean)
    tl.store(at + 1, scale)
    times = scale * tl.load(weight + columns, mask=used, other=0.0).to(tl.float32)
    plus = tl.load(bias + columns, mask=used, other=0.0).to(tl.float32) + (each - mean) * times
    tl.store(terms + picture * 2 * channels + columns, times, mask=used)
    tl.store(terms + picture * 2 * channels + channels + columns, plus, mask=used)


@triton.jit(do_not_specialize=["blocks", "width"])
def _terms_back(sums, weight, moments, back, parts, blocks, channels, width, positions, most: tl.constexpr):
    """Of a group: dx = terms[0] * g + back[0] * x + back[1], and the picture's part of the weights' gradients."""
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
    """x * terms[0] + terms[1], and SiLU of it, on the way back gradient * terms[0] + x * back[0] + back[1]."""
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
