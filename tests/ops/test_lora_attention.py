"""Adapted layers that read the same are computed together, and give what each gives alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.func import functional_call

from dreamgui.models.lora.adapters import LoraSettings, add_lora
from dreamgui.ops import lora_attention as together
from dreamgui.ops.lora_attention import fuse_lora_attention
from dreamgui.ops.lora_linear import adapted, adapted_together
from dreamgui.ops.lora_modules import use_lora_modules


def adapted_unet(folder: Path, joined: bool, **more: Any) -> Any:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    add_lora(unet, LoraSettings(4, 8.0, **more))
    torch.manual_seed(1)
    for name, parameter in unet.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    if not more.get("dora"):
        use_lora_modules(unet)
    if joined:
        fuse_lora_attention(unet)
    return unet.train()


def given() -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    return torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 77, 32)


def results(unet: Any, *inputs: Tensor, **named: Any) -> list[Tensor]:
    answer = unet(*(inputs or given()), return_dict=False, **named)[0]
    learning = [weight for weight in unet.parameters() if weight.requires_grad]
    return [answer.detach(), *torch.autograd.grad(answer.square().mean(), learning)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_gradients_are_those_of_the_function() -> None:
    torch.manual_seed(0)
    numbers = {"dtype": torch.float64}
    x, weight, mask = (
        torch.randn(2, 5, 6, **numbers),
        torch.randn(3 * 7, 6, **numbers),
        torch.eye(3, **numbers),
    )
    downs, ups = torch.randn(3, 2, 6, **numbers), torch.randn(3, 7, 2, **numbers)

    def computed(x: Tensor, *matrices: Tensor) -> tuple[Tensor, ...]:
        return adapted_together(x, weight, mask, matrices[:3], matrices[3:], 0.5)

    matrices = [each.clone().requires_grad_() for each in (*downs, *ups)]
    assert torch.autograd.gradcheck(computed, (x.clone().requires_grad_(), *matrices))
    for number, made in enumerate(computed(x, *downs, *ups)):
        own = weight[7 * number : 7 * number + 7]
        torch.testing.assert_close(made, adapted(x, own, None, downs[number], ups[number], 0.5))


@pytest.mark.parametrize("targets", ["attention", "attention+conv"])
def test_a_unet_gives_the_same(tiny_folder: Path, targets: Any) -> None:
    alone, joined = (adapted_unet(tiny_folder, on, targets=targets) for on in (False, True))
    # Not a layer of these is asked alone any more.
    with patch.object(together.AttnProcessor2_0, "__call__", side_effect=AssertionError):
        found = results(joined)
    assert_same(found, results(alone))
    assert_same(results(joined, *given()[:2], encoder_hidden_states=given()[2]), results(alone))
    assert alone.state_dict().keys() == joined.state_dict().keys()


def test_other_weights_of_a_call_are_used(tiny_folder: Path) -> None:
    joined = adapted_unet(tiny_folder, True)
    others = {name: torch.zeros_like(each) for name, each in joined.named_parameters() if "lora_B" in name}
    changed = functional_call(joined, others, given()).sample
    joined.disable_adapters()
    torch.testing.assert_close(changed, joined(*given()).sample)


def test_the_text_can_learn(tiny_folder: Path) -> None:
    gradients = []
    for on in (False, True):
        unet, (sample, timestep, text) = adapted_unet(tiny_folder, on), given()
        text.requires_grad_()
        gradients += torch.autograd.grad(unet(sample, timestep, text).sample.square().mean(), text)
    assert_same(gradients[1:], gradients[:1])


def test_what_needs_each_layer_alone_gets_it(tiny_folder: Path) -> None:
    alone, joined = (adapted_unet(tiny_folder, on) for on in (False, True))
    mask = {"encoder_attention_mask": torch.ones(2, 77).tril()}
    assert_same(results(joined, **mask), results(alone, **mask))
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(*each) for each in zip(results(joined), results(alone), strict=True))
    dora = (adapted_unet(tiny_folder, on, dora=True) for on in (False, True))
    assert all(torch.equal(*each) for each in zip(*map(results, dora), strict=True))
