"""A safetensors file written tensor by tensor, so that a part of 3.4 GB needs the memory of its largest tensor."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

_CODES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}


def write_safetensors(
    target: Path, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, value_of: Callable[[str], torch.Tensor]
) -> None:
    """Write tensors of one number format, in the order and with the header of the safetensors library.

    Args:
        shapes: names and shapes of all tensors.
        value_of: the contiguous tensor of a name, in ``dtype`` on the CPU; called once for each.
    """
    entries, end = {}, 0
    for name in sorted(shapes):
        begin, end = end, end + math.prod(shapes[name]) * dtype.itemsize
        entries[name] = {"dtype": _CODES[dtype], "shape": list(shapes[name]), "data_offsets": [begin, end]}
    text = json.dumps({"__metadata__": {"format": "pt"}, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with target.open("wb", buffering=0) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in entries:
            _write_all(file.fileno(), value_of(name))


def _write_all(handle: int, tensor: torch.Tensor) -> None:
    left = memoryview(tensor.reshape(-1).view(torch.uint8).numpy())
    while left:
        left = left[os.write(handle, left) :]
