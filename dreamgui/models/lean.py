"""A frozen UNet with a LoRA in it that learns: less is kept for the backward pass, and less is cast.

Autocast computes norms in fp32 and hands fp32 numbers on, which are cast again by the next layer; peft casts
the input of each adapted layer to the adapter's fp32, and autocast casts it back: three copies for the three
layers that read the same. Both stay in the compute format here. Sums inside a norm are fp32 either way.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn


def keep_less(unet: Any) -> None:
    """Change how a UNet that :func:`~dreamgui.models.lora_files.add_lora` has adapted computes under autocast.

    Without autocast nothing changes where all weights have one format.
    """
    for module in unet.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
        elif type(module) in _NARROW and module.weight is not None:
            module.__class__ = _NARROW[type(module)]


class _GroupNorm(nn.GroupNorm):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))


class _LayerNorm(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))


_NARROW: dict[type[nn.Module], type[nn.Module]] = {nn.GroupNorm: _GroupNorm, nn.LayerNorm: _LayerNorm}
