"""A frozen UNet with a trainable LoRA in it: less is kept for the backward pass, and less is cast.

Autocast computes norms in fp32 and hands fp32 numbers on, which are cast again by the next layer; peft casts
the input of each adapted layer to the adapter's fp32, and autocast casts it back: three copies for the three
layers that read the same. Both stay in the compute format here. Sums inside a norm are fp32 either way. Where no
cast is needed at all, an adapted linear layer is one operation, see :mod:`dreamgui.ops.lora_linear`.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners import lora
from torch import Tensor, nn

from dreamgui.ops.lora_linear import adapted
from dreamgui.ops.swap import swap_class


def use_lora_modules(unet: Any) -> None:
    """Change how a UNet that :func:`~dreamgui.models.lora.adapters.add_lora` has adapted computes under autocast.

    Without autocast results change by rounding only.
    """
    for module in unet.modules():
        if isinstance(module, lora.LoraLayer):
            module.cast_input_dtype_enabled = False
            if type(module) is lora.Linear:
                swap_class(module, AdaptedLinear)
        elif type(module) in _NARROW and module.weight is not None:
            swap_class(module, _NARROW[type(module)])


class AdaptedLinear(lora.Linear):
    """peft's layer, as one operation where it can be."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[..., in] to [..., out]."""
        weights = self.one_operation(x)
        if weights is None or args or kwargs:
            return super().forward(x, *args, **kwargs)
        return adapted(x, *weights)

    def one_operation(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor, float] | None:
        """Return what :func:`adapted` takes, or None where formats differ or the adapter isn't a plain one that is at work."""
        if self.disable_adapters or self.merged or self.lora_variant or len(self.active_adapters) != 1:
            return None
        name = self.active_adapters[0]
        base: Any = self.base_layer
        if not isinstance(self.lora_dropout[name], nn.Identity) or torch.is_autocast_enabled(x.device.type):
            return None
        inner: Any = self.lora_A[name]
        outer: Any = self.lora_B[name]
        down, up = inner.weight, outer.weight
        if {base.weight.dtype, down.dtype, up.dtype} != {x.dtype}:
            return None
        return base.weight, base.bias, down, up, float(self.scaling[name])


class _GroupNorm(nn.GroupNorm):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))


class _LayerNorm(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))


_NARROW: dict[type[nn.Module], type[nn.Module]] = {nn.GroupNorm: _GroupNorm, nn.LayerNorm: _LayerNorm}
