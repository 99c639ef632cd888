"""A safetensors file cast and written in pieces: a part of 3.4 GB needs hardly any memory, and each piece is still in
the processor's cache when it is checked and written."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from dreamgui.errors import NotEnoughDisk

_CODES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}
_PIECE = 1 << 18
# Measured on ext4, 2.1 GB: writes of 4 MB took 3.4 to 4.7 s in all, writes of 256 kB 0.4 s.
WRITE_BYTES = 1 << 18


class NonFiniteError(Exception):
    """The tensor of this name holds NaN or infinity once it is cast."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def write_safetensors(
    target: Path,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: torch.dtype,
    value_of: Callable[[str], torch.Tensor],
) -> None:
    """Write tensors in one number format, in the order and with the header of the safetensors library, and flush them
    to the disk.

    Args:
        shapes: names and shapes of all tensors.
        value_of: the tensor of a name, on the CPU, in any number format; called once for each.

    Raises:
        NonFiniteError: a tensor holds NaN, infinity or a number too large for ``dtype``; the file isn't whole then.
        NotEnoughDisk: the disk is full.
    """
    entries, end = {}, 0
    for name in sorted(shapes):
        begin, end = end, end + math.prod(shapes[name]) * dtype.itemsize
        entries[name] = {"dtype": _CODES[dtype], "shape": list(shapes[name]), "data_offsets": [begin, end]}
    text = json.dumps({"__metadata__": {"format": "pt"}, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    piece = torch.empty(_PIECE, dtype=dtype)
    try:
        with target.open("wb", buffering=0) as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in entries:
                _write_cast(file.fileno(), name, value_of(name), piece)
            # Here and not once all is written: meanwhile the source is still being hashed in its thread.
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NotEnoughDisk(
                f"The disk filled up while {target.name} ({end / 1e9:.1f} GB) was written.",
                "Make room and convert again.",
            ) from error
        raise


def _write_cast(handle: int, name: str, tensor: torch.Tensor, piece: torch.Tensor) -> None:
    flat = tensor.reshape(-1)
    for begin in range(0, flat.numel(), _PIECE):
        values = flat[begin : begin + _PIECE]
        # One buffer for all: fresh memory for every cast would cost four times the cast itself in page faults.
        cast = piece[: values.numel()].copy_(values)
        if not finite(cast):
            raise NonFiniteError(name)
        write_all(handle, memoryview(cast.view(torch.uint8).numpy()))


def write_all(handle: int, data: memoryview) -> None:
    """All of it, in pieces of the size that is written fastest."""
    while data.nbytes:
        data = data[os.write(handle, data[:WRITE_BYTES]) :]


def finite(tensor: torch.Tensor) -> bool:
    """Neither NaN nor infinity. aminmax hands NaN on, and takes a twentieth of the time of isfinite."""
    return not tensor.numel() or bool(torch.isfinite(torch.stack(tensor.aminmax())).all())
