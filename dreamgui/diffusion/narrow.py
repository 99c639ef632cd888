"""Weights that learn in fp32 and compute in less: all of a step's casts in one go each way.

Autocast casts each weight where it is used and each gradient where it arises: for Stable Diffusion 1.5 some 1,400
kernels a step that take a few microseconds each, whatever their size; and it computes norms in fp32, between
casts of their own. Here the model gets narrow copies of its weights, made together, and computes in their format
throughout. Sums inside a norm are fp32 either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


class Narrow:
    """A model that is called with copies of its learning weights in ``dtype``; gradients come to the originals.

    Not for gradient checkpointing, which would compute again with the originals.

    Args:
        model: its other weights have this format already.
        weights: those that learn, fp32, by their names in the model.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, nn.Parameter], dtype: torch.dtype) -> None:
        self._model, self._weights, self._dtype = model, dict(weights), dtype

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """The model's output for these inputs."""
        copies = _Cast.apply(self._dtype, *self._weights.values())
        given = dict(zip(self._weights, copies, strict=True))
        with torch.autocast(next(iter(copies)).device.type, enabled=False):
            return functional_call(self._model, given, inputs, named)


def narrowed(unet: Any, weights: Mapping[str, nn.Parameter], dtype: torch.dtype) -> Narrow | None:
    """The UNet computing in ``dtype`` in place of autocast; None where that isn't its format, or can't be."""
    wide = [weight.dtype == torch.float32 for weight in weights.values()]
    others = (weight.dtype for name, weight in unet.named_parameters() if name not in weights)
    if dtype == torch.float32 or not wide or not all(wide) or any(other != dtype for other in others):
        return None
    if unet.is_gradient_checkpointing or any("lora_magnitude_vector" in name for name in weights):
        return None
    return Narrow(unet, weights, dtype)


class _Cast(torch.autograd.Function):
    """Casts tensors together, and their gradients back."""

    @staticmethod
    def forward(context: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        return _cast(tensors, dtype)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Any, ...]:
        return (None, *_cast(gradients, torch.float32))


def _cast(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    copies = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    torch._foreach_copy_(copies, list(tensors))
    return tuple(copies)
