"""Matrix products of a batch's timesteps, picture by picture: a picture doesn't depend on its batch on the CPU.

A product of 10 rows was seen to differ from five of 2 rows in the last bit. In a UNet only the timestep embedding has
so few rows: one for each latent.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def picture_by_picture(device: torch.device, pictures: int) -> AbstractContextManager[Any]:
    """A block in which linear layers of matrices [rows, k] compute the rows of each picture by themselves.

    Args:
        device: nothing changes but on the CPU.
        pictures: pictures in the batch; picture i has the rows i, i + pictures and so on.
    """
    return _Apart(pictures) if device.type == "cpu" and pictures > 1 else nullcontext()


class _Apart(TorchFunctionMode):
    def __init__(self, pictures: int) -> None:
        super().__init__()
        self._pictures = pictures

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is not functional.linear or not args or args[0].dim() != 2:
            return func(*args, **named)
        rows = [args[0][n :: self._pictures].contiguous() for n in range(self._pictures)]
        return torch.stack([func(each, *args[1:], **named) for each in rows], dim=1).flatten(0, 1)
