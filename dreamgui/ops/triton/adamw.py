"""AdamW for weights in fp32 that compute through copies in bf16: one pass over memory moves both, on NVIDIA GPUs.

With casts of their own (weights to bf16, gradients to fp32), a step of Stable Diffusion 1.5's UNet moves 34 GB
through the card's memory; here 24, which is what AdamW itself takes. Loshchilov and Hutter 2017,
https://arxiv.org/abs/1711.05101.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from dreamgui.ops.triton.precompile import Variant

_PIECE = 4096
"""So many neighbours of a weight are moved by one program."""
_WARPS = 8
_ALIGNED, _ROWS = 16, 5


@dataclass
class _Layout:
    """Of some weights that move together.

    ``which``, ``begin``: by program, the weight's number and how many pieces of it come before. ``sizes``: by weight.
    ``addresses``: memory that a CUDA graph can read, or None on the processor.
    """

    which: Tensor
    begin: Tensor
    sizes: Tensor
    addresses: Tensor | None


class CopyingAdamW(torch.optim.AdamW):
    """PyTorch's fused AdamW, with the same state, whose weights may have their gradient on a copy instead.

    Attributes:
        grad_scale, found_inf: as the fused AdamW has them, tensors on the weights' device or None: gradients
            are divided by the first; where the second isn't 0, no weight and no moment changes.

    Args:
        groups, settings: as AdamW's.
        copies: by weight; may be filled later. A copy whose gradient is there when :meth:`step` is called is moved
            with its weight.
    """

    def __init__(self, groups: Any, copies: Mapping[Any, Tensor], **settings: Any) -> None:
        super().__init__(groups, fused=True, **settings)
        self._copies = copies
        self._layouts: dict[tuple[nn.Parameter, int], _Layout] = {}
        self._count: Tensor | None = None
        self.grad_scale: Tensor | None = None
        self.found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move every weight that has a gradient, on itself or on its copy."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if self._gradient(weight) is not None]
            if weights:
                self._move(weights, group)
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear gradients as AdamW does, and the copies' too."""
        super().zero_grad(set_to_none)
        for copy in self._copies.values():
            copy.grad = None

    def _gradient(self, weight: nn.Parameter) -> Tensor | None:
        copy = self._copies.get(weight)
        return None if copy is None else copy.grad

    def _move(self, weights: list[nn.Parameter], group: Mapping[str, Any]) -> None:
        count = self._counted(weights)
        one = torch.ones_like(count)
        scale = one if self.grad_scale is None else self.grad_scale
        broken = one - 1 if self.found_inf is None else self.found_inf
        count += 1 - broken
        first, second = group["betas"]
        # As in PyTorch's, in double precision: 1 - 0.999 would lose half of its digits.
        corrections = [(1 - beta ** count.double()).float() for beta in (first, second)]
        layout = self._layout(weights)
        # Triton launches on the current device, whichever the tensors are on.
        with torch.cuda.device_of(count):
            _adamw[(len(layout.which),)](
                self._table(weights, layout), layout.which, layout.begin, layout.sizes, len(weights),
                one * group["lr"], *corrections, scale, broken,
                first, second, group["eps"], group["weight_decay"], _PIECE, num_warps=_WARPS,
            )  # fmt: skip

    def _counted(self, weights: list[nn.Parameter]) -> Tensor:
        """Return how many steps the weights were trained, fp32: one number for all."""
        states = [self.state[weight] for weight in weights]
        if not states[0]:
            for weight, state in zip(weights, states, strict=True):
                state.update(exp_avg=torch.zeros_like(weight), exp_avg_sq=torch.zeros_like(weight))
            self._count = torch.zeros((), device=weights[0].device)
        elif self._count is None or states[0]["step"] is not self._count:
            self._count = states[0]["step"].detach().to(weights[0].device, torch.float32, copy=True).view(())
        for state in states:
            state["step"] = self._count
        return self._count

    def _layout(self, weights: list[nn.Parameter]) -> _Layout:
        key = weights[0], len(weights)
        if key not in self._layouts:
            device = weights[0].device
            sizes = torch.tensor([weight.numel() for weight in weights])
            pieces = (sizes + _PIECE - 1) // _PIECE
            which = torch.repeat_interleave(torch.arange(len(weights)), pieces)
            begin = torch.arange(len(which)) - (pieces.cumsum(0) - pieces)[which]
            room = torch.empty(_ROWS, len(weights), dtype=torch.int64)
            self._layouts[key] = _Layout(
                *(each.to(device) for each in (which, begin, sizes)),
                room.pin_memory() if device.type == "cuda" else None,
            )
        return self._layouts[key]

    def _table(self, weights: list[nn.Parameter], layout: _Layout) -> Tensor:
        """Addresses [5, weights] of weights, copies, gradients and both moments."""
        columns = []
        for weight in weights:
            state, copy, gradient = self.state[weight], self._copies[weight], self._gradient(weight)
            assert gradient is not None
            alike = (weight, copy, gradient, state["exp_avg"], state["exp_avg_sq"])
            if any(_order(each) != _order(weight) or each.data_ptr() % _ALIGNED for each in alike):
                raise RuntimeError("A weight, its copy, gradient and moments don't lie alike in memory.")
            columns.append([each.data_ptr() for each in alike])
        table = torch.tensor(columns).T.contiguous()
        device = weights[0].device
        if layout.addresses is None or not torch.cuda.is_current_stream_capturing():
            return table.to(device)
        # A graph copies them again at each replay, from where they are now.
        return layout.addresses.copy_(table).to(device, non_blocking=True)


def _order(tensor: Tensor) -> list[int]:
    """Strides. That of a dimension of size 1 says nothing."""
    return [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


def variants() -> list[Variant]:
    """The one kernel."""
    numbers, wide = (torch.int64,) * 4, (torch.float32,) * 5
    return [(_adamw, (*numbers, 2, *wide, 0.9, 0.999, 1e-8, 0.01, _PIECE), {"num_warps": _WARPS})]


@triton.jit(do_not_specialize=["weights"])
def _adamw(
    table, which, begin, sizes, weights, rate_at, correct_mean_at, correct_square_at, scale_at, broken_at,
    first, second, eps, decay, size_of_piece: tl.constexpr,
):  # fmt: skip
    """Moves a piece of one weight, and its copy, or nothing where a gradient somewhere isn't a number."""
    number = tl.load(which + tl.program_id(0))
    start = tl.load(begin + tl.program_id(0)) * size_of_piece
    size = tl.load(sizes + number)
    if tl.load(broken_at) == 0.0:
        row = table + number
        wide = tl.multiple_of(tl.load(row).to(tl.pointer_type(tl.float32)), 16)
        narrow = tl.multiple_of(tl.load(row + weights).to(tl.pointer_type(tl.bfloat16)), 16)
        gradient = tl.multiple_of(tl.load(row + 2 * weights).to(tl.pointer_type(tl.bfloat16)), 16)
        mean = tl.multiple_of(tl.load(row + 3 * weights).to(tl.pointer_type(tl.float32)), 16)
        square = tl.multiple_of(tl.load(row + 4 * weights).to(tl.pointer_type(tl.float32)), 16)
        rate, scale = tl.load(rate_at), tl.load(scale_at)
        step = rate / tl.load(correct_mean_at)
        root = 1.0 / tl.sqrt(tl.load(correct_square_at))
        kept = 1.0 - rate * decay
        # Only the last piece of a weight needs a mask; without one, 16 bytes are read at a time.
        if start + size_of_piece <= size:
            _piece(wide, narrow, gradient, mean, square, start, size, scale, step, root, kept,
                   first, second, eps, False, size_of_piece)  # fmt: skip
        else:
            _piece(wide, narrow, gradient, mean, square, start, size, scale, step, root, kept,
                   first, second, eps, True, size_of_piece)  # fmt: skip


@triton.jit
def _piece(
    wide, narrow, gradient, mean, square, start, size, scale, step, root, kept,
    first, second, eps, last: tl.constexpr, size_of_piece: tl.constexpr,
):  # fmt: skip
    at = start + tl.arange(0, size_of_piece)
    inside = at < size if last else None
    g = tl.load(gradient + at, mask=inside).to(tl.float32) / scale
    m = first * tl.load(mean + at, mask=inside) + (1.0 - first) * g
    v = second * tl.load(square + at, mask=inside) + (1.0 - second) * g * g
    w = tl.load(wide + at, mask=inside) * kept - step * m / (tl.sqrt(v) * root + eps)
    tl.store(mean + at, m, mask=inside)
    tl.store(square + at, v, mask=inside)
    tl.store(wide + at, w, mask=inside)
    tl.store(narrow + at, w.to(tl.bfloat16), mask=inside)
