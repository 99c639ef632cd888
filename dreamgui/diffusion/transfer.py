"""Numbers to the device and back without making either side wait for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on the CPU, brought to the device, on CUDA through pinned memory, so that nothing waits."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def begin_fetching(tensor: Tensor) -> Callable[[], Tensor]:
    """Send a tensor to the CPU, and return what waits for it there. On CUDA the device goes on with other work meanwhile."""
    if tensor.device.type != "cuda":
        return tensor.cpu
    fetched = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> Tensor:
        arrived.synchronize()
        return fetched

    return wait


@dataclass
class _Parcel:
    """Measurements on their way to the CPU."""

    steps: list[int]
    arrive: Callable[[], Tensor]


class Readback:
    """Measurements of training steps, read in parcels.

    On CUDA a parcel is on its way while the next steps run, and is read when the one after it is full; on
    other devices each step is a parcel and is read at once.
    """

    def __init__(self, device: torch.device, every: int = 10) -> None:
        self._device = device
        self._every = every if device.type == "cuda" else 1
        self._open: list[tuple[int, Tensor]] = []
        self._sent: list[_Parcel] = []

    def add(self, step: int, values: Tensor) -> Iterator[tuple[int, list[float]]]:
        """Take the measurements [m] of a step. Yield those of earlier steps that have arrived."""
        self._open.append((step, values))
        if len(self._open) >= self._every:
            self._send()
        while self._sent and (len(self._sent) > 1 or self._device.type != "cuda"):
            yield from self._read(self._sent.pop(0))

    def rest(self) -> Iterator[tuple[int, list[float]]]:
        """Return all that wasn't read yet. Wait for the device."""
        if self._open:
            self._send()
        while self._sent:
            yield from self._read(self._sent.pop(0))

    def _send(self) -> None:
        steps = [step for step, _ in self._open]
        values = torch.stack([value for _, value in self._open])
        self._open = []
        self._sent.append(_Parcel(steps, begin_fetching(values)))

    @staticmethod
    def _read(parcel: _Parcel) -> Iterator[tuple[int, list[float]]]:
        yield from zip(parcel.steps, parcel.arrive().tolist(), strict=True)
