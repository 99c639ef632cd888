"""All casts in one go: the same losses and gradients as under autocast, and when it isn't used."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from dreamgui.models.manager import Parts
from dreamgui.training.steps.bf16_copies import Bf16Copies, with_bf16_copies
from tests.training.test_step import batch, training

BF16 = torch.bfloat16


def learning(parts: Parts) -> dict[str, Any]:
    return {name: weight for name, weight in parts.unet.named_parameters() if weight.requires_grad}


def in_bf16(parts: Parts) -> Parts:
    """What doesn't learn is in the compute format, as the manager lends it on a GPU."""
    for weight in parts.unet.parameters():
        if not weight.requires_grad:
            weight.data = weight.data.to(BF16)
    return parts


def gradients(parts: Parts, narrow: bool) -> tuple[float, dict[str, torch.Tensor]]:
    step = training(parts, BF16)
    assert isinstance(step._bf16_copies, Bf16Copies)
    if not narrow:
        step._bf16_copies = None
    losses = step.losses(batch())
    losses.total.backward()
    found = {name: weight.grad.clone() for name, weight in step.trained.items() if weight.grad is not None}
    step.optimizer.zero_grad(set_to_none=True)
    return losses.total.item(), found


def test_losses_and_gradients_are_autocasts(trained: Parts) -> None:
    parts = in_bf16(trained)
    loss, found = gradients(parts, narrow=True)
    other, expected = gradients(parts, narrow=False)
    assert loss == pytest.approx(other, rel=0.01)
    assert found.keys() == expected.keys() == learning(parts).keys()
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    both = [torch.cat([gradient.flatten() for gradient in each.values()]) for each in (found, expected)]
    assert torch.nn.functional.cosine_similarity(*both, dim=0) > 0.999


def test_the_weights_that_learn_stay_wide(trained: Parts) -> None:
    step = training(in_bf16(trained), BF16)
    before = {name: weight.detach().clone() for name, weight in step.trained.items()}
    step(batch(), 1e-5)
    assert all(weight.dtype == torch.float32 for weight in step.trained.values())
    # A step far below bf16's spacing still moves them.
    assert any(not torch.equal(before[name], weight) for name, weight in step.trained.items())


def test_each_step_computes_with_the_weights_of_now(trained: Parts) -> None:
    step = training(in_bf16(trained), BF16)
    first = step.losses(batch()).total.item()
    with torch.no_grad():
        for weight in step.trained.values():
            weight.add_(0.3)
    assert step.losses(batch()).total.item() != pytest.approx(first, rel=1e-3)


def test_where_it_is_not_used(trained: Parts) -> None:
    parts = in_bf16(trained)
    weights = learning(parts)
    assert with_bf16_copies(parts.unet, weights, BF16) is not None
    assert with_bf16_copies(parts.unet, weights, torch.float32) is None
    assert with_bf16_copies(parts.unet, weights, torch.float16) is None
    assert with_bf16_copies(parts.unet, {}, BF16) is None
    assert training(parts, BF16, optimizer_in_backward=True)._bf16_copies is None
    parts.unet.enable_gradient_checkpointing()
    assert with_bf16_copies(parts.unet, weights, BF16) is None


def kept(parts: Parts) -> Bf16Copies:
    narrow = with_bf16_copies(parts.unet, learning(parts), BF16)
    assert narrow is not None
    narrow.keep()
    return narrow


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    one = batch()
    return one.latents.to(BF16), one.timesteps, one.text.to(BF16)


def test_kept_copies_take_the_gradients(trained: Parts) -> None:
    narrow = kept(in_bf16(trained))
    leaves = narrow.leaves()
    narrow(*inputs(), return_dict=False)[0].float().square().mean().backward()
    assert [leaf.dtype for leaf in leaves] == [BF16] * len(leaves)
    assert all(copy is leaf for copy, leaf in zip(narrow.copies.values(), leaves, strict=True))
    assert any(leaf.grad is not None and leaf.grad.abs().max() > 0 for leaf in leaves)
    assert all(weight.grad is None for weight in narrow.weights)


def test_kept_copies_follow_weights_that_others_changed(trained: Parts) -> None:
    narrow = kept(in_bf16(trained))
    first = narrow(*inputs(), return_dict=False)[0].detach()
    with torch.no_grad():
        for weight in narrow.weights:
            weight.add_(0.3)
    assert not torch.equal(narrow(*inputs(), return_dict=False)[0].detach(), first)
    for weight, copy in narrow.copies.items():
        assert torch.equal(copy.detach(), weight.detach().to(BF16))


def test_what_is_only_looked_at_leaves_kept_copies_alone(trained: Parts) -> None:
    narrow = kept(in_bf16(trained))
    before = [leaf.detach().clone() for leaf in narrow.leaves()]
    average = {weight: weight.data + 0.3 for weight in narrow.weights}
    own = {weight: weight.data for weight in narrow.weights}
    with torch.no_grad():
        first = narrow(*inputs(), return_dict=False)[0]
        for weight in narrow.weights:
            weight.data = average[weight]
        other = narrow(*inputs(), return_dict=False)[0]
        for weight in narrow.weights:
            weight.data = own[weight]
    assert not torch.equal(first, other)
    assert all(torch.equal(a, b) for a, b in zip(before, narrow.leaves(), strict=True))


def test_a_kept_model_is_compiled_with_its_copies(trained: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    step = training(in_bf16(trained), BF16)
    assert step._bf16_copies is not None
    step._bf16_copies.keep()
    plain = step.losses(batch()).total.item()
    step.compile()
    assert step.compiled is not None
    losses = step.losses(batch())
    losses.total.backward()
    assert losses.total.item() == pytest.approx(plain, rel=0.01)
    assert all(leaf.dtype == BF16 and leaf.grad is not None for leaf in step.leaves())
    assert all(weight.grad is None for weight in step.trained.values())
    # Moved with its weight by the optimizer, a copy is what the compiled model learns from next.
    with torch.no_grad():
        for copy in step.leaves():
            copy.add_(0.3)
    assert step.losses(batch()).total.item() != pytest.approx(plain, rel=0.01)
