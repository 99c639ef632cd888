"""VAE and text encoder beside a UNet that learns: they leave the device while nobody needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

HOST = torch.device("cpu")


@dataclass
class Companions:
    """Frozen modules that share a device with one that learns.

    Where the device has no memory of its own (CPU; Apple's GPU) they stay where they are.

    Attributes:
        modules: on ``device``, or on the CPU while they rest.
        device: where they belong.
        resting: whether they have left it.
    """

    modules: Sequence[Any] = ()
    device: torch.device = HOST
    resting: bool = field(default=False, init=False)

    @property
    def has_own_memory(self) -> bool:
        """Whether the device gains memory when they leave."""
        return self.device.type == "cuda"

    def rest(self) -> None:
        """Leave the device, until :meth:`wake`."""
        if self.has_own_memory:
            self._move(HOST)
            self.resting = True
            # What they took must not lie in pieces between what the training takes next.
            torch.cuda.empty_cache()

    def wake(self) -> None:
        """Come back; raises as PyTorch does where they don't fit, and rests then."""
        try:
            self._move(self.device)
        except RuntimeError:
            self._move(HOST)
            raise
        self.resting = False

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Inside the block they are on the device; afterwards where they were before."""
        rested = self.resting
        self.wake()
        try:
            yield
        finally:
            if rested:
                self.rest()

    def _move(self, device: torch.device) -> None:
        for module in self.modules:
            module.to(device)
