"""UNets' weights that were lent before, kept where there is room: entering one again is a copy and no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from dreamgui.models.device import free_bytes
from dreamgui.models.loading import swap_weights

MOST = 6
"""Weights kept at once; the ones that were wanted longest ago go first."""
DEVICE_ROOM_BYTES = 16_000_000_000
"""Kept on the device where that much stays free for pictures and CUDA graphs."""
HOST_ROOM_BYTES = 6_000_000_000
"""Kept in the host's memory, pinned, where that much stays free for everything else."""


class UnetWeights:
    """Puts weights of files into one UNet, in place. On a GPU those that were there are kept for the next time.

    Without a GPU each is read from its file, which the system keeps in memory by itself.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[tuple[Path, int, int], list[Tensor]] = {}

    def put(self, unet: Any, path: Path) -> None:
        """Copy the weights of a safetensors file into the UNet.

        Raises:
            Damaged: the file can't be read, or its keys or shapes aren't the UNet's.
        """
        kept = self._kept.pop(key := _key(path), None)
        if kept is None:
            swap_weights(unet, path)
            self.keep(unet, path)
            return
        self._kept[key] = kept
        with torch.no_grad():
            torch._foreach_copy_(list(unet.parameters()), kept, non_blocking=True)

    def keep(self, unet: Any, path: Path) -> None:
        """Keep what the UNet holds now as the weights of this file, if there is room."""
        key = _key(path)
        if self._device.type != "cuda" or key in self._kept:
            return
        weights = [weight.detach() for weight in unet.parameters()]
        size = sum(weight.numel() * weight.element_size() for weight in weights)
        if free_bytes(self._device) > size + DEVICE_ROOM_BYTES:
            self._kept[key] = [weight.clone() for weight in weights]
        elif psutil.virtual_memory().available > size + HOST_ROOM_BYTES:
            self._kept[key] = [_pinned(weight) for weight in weights]
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]

    def forget(self) -> None:
        """Give the memory back."""
        self._kept.clear()


def _key(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


def _pinned(weight: Tensor) -> Tensor:
    return torch.empty_like(weight, device="cpu", pin_memory=True).copy_(weight)
