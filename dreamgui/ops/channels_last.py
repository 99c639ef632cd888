"""Channels stay last all the way through a model, on GPUs that have our kernels. Long attention is cuDNN's there,
and what is added everywhere gets its gradient as in :mod:`dreamgui.ops.bias_grad`.

Models are laid out with channels last on a GPU, as its convolutions want them; PyTorch's group norm and the end of
diffusers' attention blocks give them back first, and each convolution after them copies.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from dreamgui.ops.attention import LONG, by_any
from dreamgui.ops.bias_grad import add_everywhere, is_trained, with_bias
from dreamgui.ops.fused_norm import Activated
from dreamgui.ops.kernels import Kernels, kernels
from dreamgui.ops.swap import swap_class

_BIASED = (functional.linear, functional.conv2d)
_SUMS = (Tensor.add, Tensor.__add__)


def channels_last(device: torch.device) -> AbstractContextManager[Any]:
    """Inside the block models on this device keep channels last. Where there are no kernels, nothing is different."""
    own = kernels(device)
    return _ChannelsLast(own) if own else nullcontext()


def keep_channels_last(model: nn.Module) -> None:
    """The same for a model on a GPU that is to be compiled, which runs outside of such blocks: its norms are changed."""
    own = kernels(next(model.parameters()).device)
    for module in model.modules() if own else ():
        if isinstance(module, nn.GroupNorm):
            swap_class(module, _opaque_norm(own, isinstance(module, Activated)))


@cache
def _opaque_norm(own: Kernels, silu: bool) -> type[nn.GroupNorm]:
    class Opaque(nn.GroupNorm):
        def forward(self, input: Tensor) -> Tensor:
            if own.takes(input, self.num_groups):
                given = input, self.num_groups, self.weight, self.bias, self.eps, silu
                return own.opaque_group_norm(*given)[0]
            normed = super().forward(input)
            return functional.silu(normed) if silu else normed

    return Opaque


class _ChannelsLast(TorchFunctionMode):
    def __init__(self, own: Kernels) -> None:
        super().__init__()
        self._own = own

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is functional.group_norm and self._own.fits(args[0], args[1]):
            return self._own.group_norm(*args, **named)
        if func is functional.scaled_dot_product_attention and len(args) > 1 and args[1].shape[-2] >= LONG:
            return by_any(func)(*args, **named)
        if func in _BIASED and not named and len(args) > 2 and is_trained(args[2]):
            return with_bias(func, *args, last=func is functional.linear)
        if func in _SUMS and not named and len(args) == 2 and _is_everywhere(*args):
            return add_everywhere(*args)
        if func is Tensor.contiguous and len(args) == 1 and not named and _last(args[0]):
            return args[0]
        # diffusers divides what each block gives by a factor, which is 1 in Stable Diffusion.
        if func is Tensor.div and len(args) == 2 and not named and type(args[1]) is float and args[1] == 1:
            return args[0]
        return func(*args, **named)


def _is_everywhere(x: Any, each: Any) -> bool:
    return is_trained(each) and each.dim() == 4 and each.shape[2:] == (1, 1) and x.shape[:2] == each.shape[:2]


def _last(x: Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
