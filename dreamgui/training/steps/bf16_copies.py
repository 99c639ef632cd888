"""Weights that are trained in fp32 and compute in less, without autocast.

Autocast casts each weight where it is used and each gradient where it arises: for Stable Diffusion 1.5 some 1,400
kernels a step that take a few microseconds each, whatever their size; and it computes norms in fp32, between
casts of their own. Here the model gets bf16 copies of its weights and computes in their format throughout. Sums
inside a norm are fp32 either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dreamgui.ops.changes import Stage, inject
from dreamgui.ops.channels_last import channels_last


class Bf16Copies:
    """A model that is called with copies of its learning weights in ``dtype``.

    Not for gradient checkpointing, which would compute again with the originals.

    Attributes:
        weights: the trainable ones.
        keeps: whether the copies are kept, which :meth:`keep` turns on.
        copies: by weight, where they are kept: gradients come to them, and who moves a weight moves its copy.
            Else copies are made anew each time, all in one go, and gradients come to the originals.

    Args:
        model: its other weights have this format already.
        weights: the trainable ones, fp32, by their names in the model.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, nn.Parameter], dtype: torch.dtype) -> None:
        self._model, self._names, self._dtype = model, list(weights), dtype
        self.keeps = False
        self.weights = list(weights.values())
        self._versions: list[int] = []
        self.copies: dict[Tensor, nn.Parameter] = {}

    def keep(self) -> None:
        """Keep the copies from now on."""
        self.keeps = True

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """The model's output for these inputs."""
        given = dict(zip(self._names, self._bf16_copies(), strict=True))
        device = self.weights[0].device
        with channels_last(device):
            return outside_autocast(functional_call, device)(self._model, given, inputs, named)

    def as_module(self) -> nn.Module:
        """A model like this one that has the kept copies for its learning weights and shares the others.

        For the compiler, which can't see through a call with other weights.
        """
        copies = dict(zip(self.weights, self._kept(), strict=True))
        shared = [*self._model.parameters(), *self._model.buffers()]
        module = deepcopy(self._model, {id(each): copies.get(each, each) for each in shared})
        inject(module, Stage.COMPILING, self.weights[0].device)
        return module

    def leaves(self) -> list[Tensor]:
        """Return what gradients come to."""
        return list(self._kept()) if self.keeps else list(self.weights)

    def _bf16_copies(self) -> tuple[Tensor, ...]:
        # What isn't trained may come from other weights, such as their average, which are put back unseen.
        if self.keeps and torch.is_grad_enabled():
            return self._kept()
        return _Cast.apply(self._dtype, *self.weights)

    @torch.no_grad()
    def _kept(self) -> tuple[Tensor, ...]:
        versions = [weight._version for weight in self.weights]
        if not self.copies:
            self.copies.update(
                (weight, nn.Parameter(copy))
                for weight, copy in zip(self.weights, _cast(self.weights, self._dtype), strict=True)
            )
        elif versions != self._versions:
            _copy([copy.detach() for copy in self.copies.values()], self.weights)
        self._versions = versions
        return tuple(self.copies.values())


def with_bf16_copies(unet: Any, weights: Mapping[str, nn.Parameter], dtype: torch.dtype) -> Bf16Copies | None:
    """The UNet computing in bf16 in place of autocast, or None where ``dtype`` is another, or it can't be."""
    wide = [weight.dtype == torch.float32 for weight in weights.values()]
    others = (weight.dtype for name, weight in unet.named_parameters() if name not in weights)
    # In fp16 norms could overflow what autocast computes in fp32.
    if dtype != torch.bfloat16 or not wide or not all(wide) or any(other != dtype for other in others):
        return None
    if unet.is_gradient_checkpointing or any("lora_magnitude_vector" in name for name in weights):
        return None
    return Bf16Copies(unet, weights, dtype)


def outside_autocast(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """The function as it is where autocast is off."""

    def call(*inputs: Any, **named: Any) -> Any:
        with torch.autocast(device.type, enabled=False):
            return function(*inputs, **named)

    return call


class _Cast(torch.autograd.Function):
    """Casts tensors together, and their gradients back."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        return _cast(tensors, dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Any, ...]:
        return (None, *_cast(grad_outputs, torch.float32))


def _cast(tensors: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    copies = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    _copy(copies, tensors)
    return tuple(copies)


def _copy(into: Sequence[Any], tensors: Sequence[Any]) -> None:
    torch._foreach_copy_(list(into), list(tensors))
