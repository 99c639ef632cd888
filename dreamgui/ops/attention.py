"""Choice of PyTorch's attention kernels on a GPU.

On Hopper and later PyTorch prefers cuDNN's. They are the fastest where there is much to attend to, but each shape,
forward, backward and without a gradient, is compiled when it is first met, 0.4 s each on an H100's processor, and
Stable Diffusion 1.5 has eight. So cuDNN gets the long ones; the short ones go to what needs no compiling.
https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

LONG = 1024
"""Keys from which on cuDNN may be chosen: in Stable Diffusion 1.5 those of the two finest self-attentions."""
_ANY = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


def begin_quickly() -> None:
    """Keep cuDNN's attention in this process for :func:`by_any` alone."""
    torch.backends.cuda.enable_cudnn_sdp(False)


def by_any(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, within which PyTorch chooses attention kernels as it would by itself."""

    def call(*inputs: Any, **named: Any) -> Any:
        with sdpa_kernel(_ANY):
            return function(*inputs, **named)

    return call
