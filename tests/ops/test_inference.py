"""Blocks without a gradient on a GPU: the plain blocks' results, whatever weights are put into them."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from dreamgui.ops import inference
from dreamgui.ops.changes import Stage, eject, inject
from dreamgui.ops.channels_last import channels_last
from dreamgui.ops.packed import pack

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_packed_weights_are_changed_in_place() -> None:
    layers = [torch.nn.Linear(3, count, bias=False) for count in (2, 4)]
    before = [layer.weight.clone() for layer in layers]
    whole = pack([layer.weight for layer in layers])
    assert torch.equal(whole, torch.cat(before))
    layers[1].load_state_dict({"weight": torch.ones(4, 3)})
    assert torch.equal(whole, torch.cat([before[0], torch.ones(4, 3)]))
    assert all(layer.weight.requires_grad for layer in layers)


@GPU
@pytest.mark.parametrize("channels", [(64, 128, 128, 128), (64, 96, 128, 128)])
def test_gpu_a_unets_blocks_give_what_they_gave(channels: tuple[int, ...]) -> None:
    device = torch.device("cuda")
    torch.manual_seed(0)
    unet = UNet2DConditionModel(block_out_channels=channels, cross_attention_dim=32, sample_size=32)
    unet.to(device, torch.float16, memory_format=torch.channels_last).eval()
    latents, text = (
        torch.randn(4, 4, 32, 32).to(device).half(),
        torch.randn(4, 77, 32).to(device).half(),
    )

    def answer(model: UNet2DConditionModel) -> Tensor:
        with torch.no_grad(), channels_last(device):
            return model(
                latents.to(next(model.parameters()).dtype), 500, text.to(next(model.parameters()).dtype)
            ).sample

    inject(unet, Stage.LOADED, device)
    plain = answer(unet)
    inject(unet, Stage.LENT, device)
    if torch.cuda.get_device_capability() >= (8, 0):
        assert inference.__name__ in {type(module).__module__ for module in unet.modules()}
    exact = UNet2DConditionModel.from_config(unet.config).to(device).eval()
    exact.load_state_dict({name: weight.float() for name, weight in unet.state_dict().items()})
    right = answer(exact)

    def error(found: Tensor) -> float:
        return float((found.float() - right).norm() / right.norm())

    assert error(answer(unet)) < max(1.2 * error(plain), 1e-3)
    changed = {name: weight * 0.9 for name, weight in unet.state_dict().items()}
    unet.load_state_dict(changed)
    exact.load_state_dict({name: weight.float() for name, weight in changed.items()})
    right = answer(exact)
    assert error(answer(unet)) < 5e-3
    eject(unet)
    assert error(answer(unet)) < 5e-3
