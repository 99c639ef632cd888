"""VAE and text encoder beside a UNet that is trained: they leave the device while nobody needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

HOST = torch.device("cpu")


@dataclass
class Offloadable:
    """Frozen modules that share a device with a trained one.

    Where the device has no memory of its own (CPU; Apple's GPU) they stay where they are.

    Attributes:
        modules: on ``device``, or on the CPU while they rest.
        device: where they belong.
        offloaded: whether they have left it.
    """

    modules: Sequence[Any] = ()
    device: torch.device = HOST
    offloaded: bool = field(default=False, init=False)

    @property
    def has_own_memory(self) -> bool:
        """Return whether the device gains memory when they leave."""
        return self.device.type == "cuda"

    def offload(self) -> None:
        """Leave the device, until :meth:`reload`."""
        if self.has_own_memory:
            self._move(HOST)
            self.offloaded = True
            # What they took must not lie in pieces between what the training takes next.
            torch.cuda.empty_cache()

    def reload(self) -> None:
        """Come back. It raises as PyTorch does where they don't fit."""
        try:
            self._move(self.device)
        except RuntimeError:
            self._move(HOST)
            raise
        self.offloaded = False

    @contextmanager
    def resident(self) -> Iterator[None]:
        """Inside the block they are on the device. Afterwards they are where they were before."""
        offloaded = self.offloaded
        self.reload()
        try:
            yield
        finally:
            if offloaded:
                self.offload()

    def places(self) -> list[torch.device]:
        """Return where each is, for :meth:`put_back` after another user has had them."""
        return [module.device for module in self.modules]

    def put_back(self, places: Sequence[torch.device]) -> None:
        """Move each where it was, whoever had moved it."""
        for module, place in zip(self.modules, places, strict=True):
            module.to(place)
        self.offloaded = self.has_own_memory and HOST in places

    def _move(self, device: torch.device) -> None:
        for module in self.modules:
            module.to(device)
