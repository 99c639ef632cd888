"""Convolutions of one position as matrix products."""

from __future__ import annotations

import torch
from torch import nn

from dreamgui.ops.pointwise import Pointwise, use_matrix_products


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(6, 8, 1),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Conv2d(8, 4, 1, stride=2),
        nn.Conv2d(4, 4, 1, groups=2),
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def test_only_plain_ones_are() -> None:
    changed = model()
    use_matrix_products(changed)
    assert [type(each) for each in changed] == [Pointwise, nn.Conv2d, nn.Conv2d, nn.Conv2d]


def test_results_gradients_and_layouts_are_a_convolutions() -> None:
    plain, changed = model(), model()
    use_matrix_products(changed)
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 6, 4, 4).to(memory_format=layout).requires_grad_()
        ours, theirs = changed[0](x), plain[0](x)
        assert ours.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(ours, theirs)
        found = torch.autograd.grad(ours.square().sum(), [x, *changed[0].parameters()])
        expected = torch.autograd.grad(theirs.square().sum(), [x, *plain[0].parameters()])
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)
        assert found[1].shape == changed[0].weight.shape
