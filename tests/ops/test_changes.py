"""The one list of changes: each is made at its stage, keeps results, and is undone without a trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dreamgui.models.lora.adapters import LoraSettings, add_lora
from dreamgui.ops import changes
from dreamgui.ops.changes import CHANGES, Stage, eject, inject
from tests.tiny import tiny_unet

CPU = torch.device("cpu")


def output(unet: Any) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    side = unet.config.sample_size
    latents = torch.randn(2, 4, side, side, generator=generator)
    text = torch.randn(2, 7, unet.config.cross_attention_dim, generator=generator)
    with torch.no_grad():
        return unet(latents, torch.tensor([3, 700]), text).sample


def classes(unet: Any) -> list[type]:
    found = [type(module) for module in unet.modules()]
    return found + [type(processor) for processor in unet.attn_processors.values()]


@pytest.fixture
def adapted() -> Any:
    unet = tiny_unet()
    add_lora(unet, LoraSettings(4, 4.0))
    for name, weight in unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return unet


def test_every_change_is_undone_without_a_trace(adapted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "kernels", lambda device: True)
    before, kinds, names = output(adapted), classes(adapted), list(adapted.state_dict())
    for stage in (Stage.LOADED, Stage.LORA_ADDED, Stage.LORA_STEP):
        inject(adapted, stage, CPU)
    assert classes(adapted) != kinds
    assert list(adapted.state_dict()) == names
    torch.testing.assert_close(output(adapted), before, atol=1e-4, rtol=1e-4)
    eject(adapted)
    assert classes(adapted) == kinds
    assert torch.equal(output(adapted), before)
    assert not adapted._forward_pre_hooks
    assert not [name for name, _ in adapted.named_buffers() if "fused" in name]


def test_what_needs_kernels_is_left_out_without_them(adapted: Any) -> None:
    kinds = classes(adapted)
    inject(adapted, Stage.LOADED, CPU)
    assert classes(adapted) == kinds


def test_the_list_is_in_the_order_of_the_stages() -> None:
    order = list(Stage)
    places = [order.index(change.stage) for change in CHANGES]
    assert places == sorted(places)
    assert set(places) == set(range(len(order)))
