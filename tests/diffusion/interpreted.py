"""Our kernels on the processor, by Triton's interpreter, against PyTorch's: run by test_kernels.py as a process of
its own, because TRITON_INTERPRET is read when Triton is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamgui.diffusion.column_sums import column_sums
from dreamgui.diffusion.geglu import geglu
from dreamgui.diffusion.group_norm import group_norm, opaque_group_norm
from dreamgui.diffusion.narrow_adamw import NarrowAdamW

SETTINGS = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2}
LAST = torch.channels_last


def norms(n: int, channels: int, height: int, width: int) -> None:
    x = (torch.randn(n, channels, height, width) + 0.5).to(memory_format=LAST)
    upstream = torch.randn(x.shape)
    parameters = torch.randn(channels), torch.randn(channels)

    def found(norm: Callable[..., Tensor]) -> list[Tensor]:
        leaves = [each.clone().requires_grad_() for each in (x, *parameters)]
        # A view of a single picture may lose the stride from picture to picture.
        y = norm(leaves[0].view_as(x), 32, leaves[1], leaves[2], 1e-5)
        return [y, *torch.autograd.grad(y, leaves, upstream)]

    for silu in (False, True):
        theirs = found(partial(plain, silu=silu))
        for norm in (group_norm, opaque):
            ours = found(partial(norm, silu=silu))
            assert ours[0].stride() == x.stride()
            for mine, right in zip(ours, theirs, strict=True):
                torch.testing.assert_close(mine, right, rtol=1e-4, atol=1e-4)


def plain(*given: Any, silu: bool) -> Tensor:
    y = functional.group_norm(*given)
    return functional.silu(y) if silu else y


def opaque(*given: Any, silu: bool = False) -> Tensor:
    return opaque_group_norm(*given, silu)[0]


def compiled() -> None:
    """The compiler sees an operation whose shapes it knows, with a backward pass; here it does with the two no more."""
    x = torch.randn(2, 64, 4, 4, requires_grad=True)
    weight, bias = (torch.randn(64, requires_grad=True) for _ in range(2))

    def work(norm: Callable[..., Tensor]) -> Tensor:
        return (norm(x * 2, 32, weight, bias, 1e-5) * 3).sigmoid().sum()

    ours, theirs = torch.compile(work, backend="aot_eager")(opaque), work(functional.group_norm)
    torch.testing.assert_close(ours, theirs)
    pairs = (torch.autograd.grad(each, (x, weight, bias)) for each in (ours, theirs))
    for mine, right in zip(*pairs, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-4, atol=1e-4)


def gates() -> None:
    both = torch.randn(3, 37, 2 * 50) * 2
    upstream = torch.randn(3, 37, 50)

    def found(gated: Callable[[Tensor], Tensor]) -> list[Tensor]:
        leaf = both.clone().requires_grad_()
        out = gated(leaf)
        return [out, *torch.autograd.grad(out, leaf, upstream)]

    def plain(both: Tensor) -> Tensor:
        first, gate = both.chunk(2, dim=-1)
        return first * functional.gelu(gate)

    for mine, right in zip(found(geglu), found(plain), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-5, atol=1e-5)


def sums(*shape: int) -> None:
    rows = torch.randn(shape).bfloat16()
    right = rows.float().sum(dim=1)
    # The interpreter cuts bf16 off where a card rounds.
    torch.testing.assert_close(column_sums(rows).float(), right, rtol=2**-7, atol=1e-3)


def adamw() -> None:
    """Four steps, one of them with a gradient that isn't a number; the state goes to another optimizer half-way."""
    weights = [nn.Parameter(torch.randn(shape)) for shape in ((5000,), (64, 70), (32, 16, 3, 3), (7,))]
    weights[2].data = weights[2].data.to(memory_format=LAST)
    copies = {weight: weight.detach().bfloat16().requires_grad_() for weight in weights}
    twins = [nn.Parameter(weight.detach().clone()) for weight in weights]
    ours = NarrowAdamW([{"params": weights, "lr": 1e-3}], copies, **SETTINGS)
    theirs = torch.optim.AdamW(twins, lr=1e-3, fused=True, **SETTINGS)
    for step in range(4):
        for optimizer in (ours, theirs):
            optimizer.grad_scale = torch.tensor(2.0)
            optimizer.found_inf = torch.tensor(float(step == 2))
        for weight, twin in zip(weights, twins, strict=True):
            copies[weight].grad = torch.empty_like(copies[weight]).normal_()
            twin.grad = torch.empty_like(twin).copy_(copies[weight].grad)
        ours.step()
        theirs.step()
        ours.zero_grad()
        assert all(copy.grad is None for copy in copies.values())
        if step == 1:
            again = NarrowAdamW([{"params": weights, "lr": 1e-3}], copies, **SETTINGS)
            for weight in weights:
                again.state[weight] = {name: each.clone() for name, each in ours.state[weight].items()}
            ours = again
        for weight, twin in zip(weights, twins, strict=True):
            torch.testing.assert_close(weight, twin, rtol=1e-6, atol=1e-6)
            # The interpreter cuts bf16 off where a card rounds.
            torch.testing.assert_close(copies[weight].float(), weight, rtol=2**-7, atol=1e-6)
            assert ours.state[weight]["step"] == theirs.state[twin]["step"]


if __name__ == "__main__":
    torch.manual_seed(0)
    for shape in ((2, 64, 9, 15), (1, 320, 6, 8), (1, 1280, 2, 2)):
        norms(*shape)
    compiled()
    gates()
    for shape in ((2, 70, 64), (1, 512, 128), (3, 700, 64), (1, 9000, 64)):
        sums(*shape)
    adamw()
    sys.exit(0)
