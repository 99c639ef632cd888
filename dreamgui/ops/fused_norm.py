"""Norms that apply the SiLU after them themselves, and gates in one pass, on GPUs that have our kernels."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.activations import GEGLU
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional

from dreamgui.ops.kernels import kernels
from dreamgui.ops.swap import swap_class

_SHORT = (torch.float16, torch.bfloat16)


class Activated(nn.GroupNorm):
    """Norm and SiLU. It uses PyTorch's kernels where ours don't take the input or its format isn't the weights'."""

    def forward(self, input: Tensor) -> Tensor:
        """``silu(norm(input))``, [n, channels, h, w]."""
        # The compiler fuses by itself, or is given another norm, see channels_last.py.
        if not torch.compiler.is_compiling() and input.dtype == self.weight.dtype:
            own = kernels(input.device)
            if own and own.fits(input, self.num_groups):
                return own.group_norm(input, self.num_groups, self.weight, self.bias, self.eps, silu=True)
        return functional.silu(super().forward(input))


class _Remaining(nn.SiLU):
    """A resnet's one SiLU, for the steps' embedding alone: images come to it with SiLU applied."""

    def forward(self, input: Tensor) -> Tensor:
        return input if input.dim() == 4 else super().forward(input)


class _Gated(GEGLU):
    """See :mod:`dreamgui.ops.triton.geglu`."""

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        both = self.proj(hidden_states)
        # The compiler fuses it by itself.
        if both.dtype in _SHORT and not torch.compiler.is_compiling() and (own := kernels(both.device)):
            return own.geglu(both.contiguous())
        first, gate = both.chunk(2, dim=-1)
        return first * self.gelu(gate)


def fuse_norms(model: nn.Module) -> None:
    """Move SiLU into the norm before it, in this model's resnets and a UNet's end. Compute gates in one pass."""
    for module in model.modules():
        if type(module) is GEGLU:
            swap_class(module, _Gated)
        elif isinstance(module, ResnetBlock2D) and _is_plain(module):
            _fuse(module, "nonlinearity", module.norm1, module.norm2)
        elif isinstance(module, UNet2DConditionModel) and type(module.conv_norm_out) is nn.GroupNorm:
            _fuse(module, "conv_act", module.conv_norm_out)


def _is_plain(resnet: Any) -> bool:
    """Return whether SiLU follows each norm at once."""
    return resnet.time_embedding_norm != "scale_shift" and {type(resnet.norm1), type(resnet.norm2)} == {
        nn.GroupNorm
    }


def _fuse(module: Any, activation: str, *norms: nn.GroupNorm) -> None:
    if type(getattr(module, activation)) is not nn.SiLU:
        return
    for norm in norms:
        swap_class(norm, Activated)
    swap_class(getattr(module, activation), _Remaining)
