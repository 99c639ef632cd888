"""What is added to all positions: the same results and gradients, whoever adds the gradients up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from dreamgui.ops import bias_grad as added
from dreamgui.ops import channels_last as module
from dreamgui.ops.channels_last import channels_last

CPU = torch.device("cpu")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.time, self.out = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(5, 8), nn.Linear(8, 6)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        wide = self.conv(x) + self.time(time)[:, :, None, None]
        return self.out(wide.flatten(2).transpose(1, 2)).sin()


@pytest.fixture
def summed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes whose sums our kernel was asked for; as on a GPU."""
    seen: list[tuple[int, ...]] = []

    def sums(rows: Tensor) -> Tensor:
        seen.append(tuple(rows.shape))
        return rows.sum(dim=1)

    own = SimpleNamespace(fits=lambda x, groups: False, adds=lambda rows: True, column_sums=sums)
    monkeypatch.setattr(module, "kernels", lambda device: own)
    monkeypatch.setattr(added, "kernels", lambda device: own)
    monkeypatch.setattr(added, "captured", lambda x: True)
    return seen


def test_gradients_are_the_same(summed: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    block, given = Block(), (torch.randn(2, 3, 4, 4), torch.randn(2, 5))
    right = block(*given)
    theirs = torch.autograd.grad(right.sum(), list(block.parameters()))
    with channels_last(CPU):
        mine = block(*given)
    ours = torch.autograd.grad(mine.sum(), list(block.parameters()))
    assert torch.equal(mine, right)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
    # The last layer's bias, the sum's second part, the convolution's bias, the time's.
    assert sorted(summed) == [(1, 2, 8), (1, 32, 6), (1, 32, 8), (2, 16, 8)]


def test_outside_of_a_cuda_graph_pytorch_adds_up(
    summed: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(added, "captured", lambda x: False)
    with channels_last(CPU):
        Block()(torch.randn(2, 3, 4, 4), torch.randn(2, 5)).sum().backward()
    assert summed == []


def test_what_does_not_learn_is_left_alone(summed: list[tuple[int, ...]]) -> None:
    block, given = Block(), (torch.randn(2, 3, 4, 4).requires_grad_(), torch.randn(2, 5))
    with channels_last(CPU), torch.no_grad():
        block(*given)
    with channels_last(CPU):
        block.requires_grad_(False)(*given).sum().backward()
    assert summed == []


def test_without_kernels_pytorch_adds_up() -> None:
    bias = torch.zeros(8, requires_grad=True)
    with torch.enable_grad():
        y = added.with_bias(nn.functional.linear, torch.randn(2, 5), torch.randn(8, 5), bias, last=True)
    y.sum().backward()
    assert bias.grad is not None
    assert torch.equal(bias.grad, torch.full((8,), 2.0))
