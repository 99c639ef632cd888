"""Our kernels on the processor, by Triton's interpreter, against PyTorch's: run by test_kernels.py as a process of
its own, because TRITON_INTERPRET is read when Triton is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from dreamgui.ops import changes, fused_norm, inference
from dreamgui.ops.changes import Stage
from dreamgui.ops.triton import group_norm_kernels
from dreamgui.ops.triton.adamw import CopyingAdamW
from dreamgui.ops.triton.added_norm import added_norm, plus_bias, takes_rows
from dreamgui.ops.triton.column_sums import column_sums
from dreamgui.ops.triton.geglu import geglu
from dreamgui.ops.triton.group_norm import group_norm, opaque_group_norm, shifted_group_norm

SETTINGS = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2}
LAST = torch.channels_last


def norms(n: int, channels: int, height: int, width: int, also: tuple[Any, ...] = ()) -> None:
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
        for norm in (group_norm, *also):
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
    ours = CopyingAdamW([{"params": weights, "lr": 1e-3}], copies, **SETTINGS)
    theirs = torch.optim.AdamW(twins, lr=1e-3, fused=True, **SETTINGS)
    for step in range(4):
        for optimizer in (ours, theirs):
            optimizer.grad_scale = torch.tensor(2.0)
            optimizer.found_inf = torch.tensor(float(step == 2))
        for weight, with_own_copies in zip(weights, twins, strict=True):
            copies[weight].grad = torch.empty_like(copies[weight]).normal_()
            with_own_copies.grad = torch.empty_like(with_own_copies).copy_(copies[weight].grad)
        ours.step()
        theirs.step()
        ours.zero_grad()
        assert all(copy.grad is None for copy in copies.values())
        if step == 1:
            again = CopyingAdamW([{"params": weights, "lr": 1e-3}], copies, **SETTINGS)
            for weight in weights:
                again.state[weight] = {name: each.clone() for name, each in ours.state[weight].items()}
            ours = again
        for weight, with_own_copies in zip(weights, twins, strict=True):
            torch.testing.assert_close(weight, with_own_copies, rtol=1e-6, atol=1e-6)
            # The interpreter cuts bf16 off where a card rounds.
            torch.testing.assert_close(copies[weight].float(), weight, rtol=2**-7, atol=1e-6)
            assert ours.state[weight]["step"] == theirs.state[with_own_copies]["step"]


class OnTheProcessor:
    """What a model is given as kernels."""

    group_norm = staticmethod(group_norm)
    shifted_group_norm = staticmethod(shifted_group_norm)
    added_norm, plus_bias, takes_rows = map(staticmethod, (added_norm, plus_bias, takes_rows))
    geglu = staticmethod(geglu)

    def fits(self, x: Tensor, groups: int) -> bool:
        return x.shape[1] % 64 == 0 and x.is_contiguous(memory_format=LAST)


def summed_norms() -> None:
    x, more = (torch.randn(2, 5, 72) for _ in range(2))
    bias, weight, shift = (torch.randn(72) for _ in range(3))
    total, normed = added_norm(x, more, bias, weight, shift, 1e-5)
    torch.testing.assert_close(total, x + more + bias)
    torch.testing.assert_close(
        normed, functional.layer_norm(total, (72,), weight, shift), rtol=1e-4, atol=1e-4
    )
    same, normed = added_norm(x, None, None, weight, shift, 1e-5)
    assert same is x
    torch.testing.assert_close(normed, functional.layer_norm(x, (72,), weight, shift), rtol=1e-4, atol=1e-4)
    picture, other = (torch.randn(2, 64, 5, 7).to(memory_format=LAST) for _ in range(2))
    right = picture + other + torch.ones(64)[:, None, None]
    torch.testing.assert_close(plus_bias(picture, other, torch.ones(64)), right)
    each = torch.randn(2, 200)[:, 70:134]
    plain = functional.silu(
        functional.group_norm(picture + each[:, :, None, None], 32, weight[:64], shift[:64])
    )
    ours = shifted_group_norm(picture, each, 32, weight[:64], shift[:64], 1e-5)
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


def blocks(*channels: int) -> None:
    """A UNet's blocks give what they gave, also after its weights were changed in place; undone they are as before."""
    unet = UNet2DConditionModel(
        sample_size=2,
        norm_num_groups=4,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * len(channels),
        up_block_types=("CrossAttnUpBlock2D",) * len(channels),
        cross_attention_dim=16,
        attention_head_dim=8,
    ).to(memory_format=LAST)
    latents, text = torch.randn(2, 4, 2, 2).to(memory_format=LAST), torch.randn(2, 7, 16)

    def answer() -> Tensor:
        with torch.no_grad():
            return unet(latents, torch.tensor(500), text, return_dict=False)[0]

    before = answer()
    own = OnTheProcessor()
    for module in (changes, fused_norm, inference):
        module.kernels = lambda _: own  # type: ignore[attr-defined]
    for stage in (Stage.LOADED, Stage.LENT):
        changes.inject(unet, stage, torch.device("cpu"))
    kinds = {type(module).__module__ for module in unet.modules()}
    assert inference.__name__ in kinds
    torch.testing.assert_close(answer(), before, rtol=1e-3, atol=1e-4)
    changed = {name: weight * 1.1 for name, weight in unet.state_dict().items()}
    unet.load_state_dict(changed)
    ours = answer()
    assert not torch.allclose(ours, before, atol=1e-2)
    changes.eject(unet)
    torch.testing.assert_close(ours, answer(), rtol=1e-3, atol=1e-4)
    assert inference.__name__ not in {type(module).__module__ for module in unet.modules()}


if __name__ == "__main__":
    torch.manual_seed(0)
    summed_norms()
    blocks(64)
    # The demo model's second level is 96 wide, which the kernels don't take.
    blocks(64, 96)
    # Two tiles of positions, which one program sums.
    group_norm_kernels._BLOCKS = 1
    norms(2, 64, 9, 15)
    group_norm_kernels._BLOCKS = 128
    norms(1, 320, 6, 8, (opaque,))
    norms(1, 1280, 2, 2)
    compiled()
    gates()
    for shape in ((2, 70, 64), (1, 512, 128), (3, 700, 64), (1, 9000, 64)):
        sums(*shape)
    adamw()
    sys.exit(0)
