"""Safetensors files written one tensor at a time, so that a model of 4 GB never lies in memory as a whole.

The bytes are those that ``safetensors.torch.save_file`` writes: tensors of wide numbers first, then by name.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import errno
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor

from dreamgui.errors import BadModelFile, Damaged, NotEnoughDisk
from dreamgui.models.writing import WRITE_BYTES, FlushedFile

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64",
}  # fmt: skip


@dataclass(frozen=True)
class Span:
    """Where a tensor's bytes begin in a file that holds it just as it shall be written."""

    path: Path
    offset: int


@dataclass(frozen=True)
class Entry:
    """A tensor that will be in a file; ``read`` gives its values, of this shape and dtype.

    With ``span`` its bytes are copied: out of a mapped file every page would cost a fault, which takes longer
    than the copy.
    """

    key: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]
    span: Span | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_stream(target: Path, entries: Sequence[Entry], metadata: Mapping[str, str]) -> None:
    """Write these tensors and texts as one safetensors file and flush it to the disk.

    Raises:
        NotEnoughDisk: the file doesn't fit.
        Damaged: a file that is copied from is cut off.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(entries, key=lambda entry: (-entry.dtype.itemsize, entry.key))
    header = _header(ordered, {"format": "pt", **metadata})
    require_room(target.parent, sum(entry.size_bytes for entry in ordered) + len(header))
    try:
        with ExitStack() as stack:
            file = stack.enter_context(FlushedFile(target))
            paths = {entry.span.path for entry in ordered if entry.span}
            sources = {path: stack.enter_context(path.open("rb", buffering=0)) for path in paths}
            buffer = memoryview(bytearray(WRITE_BYTES))
            file.write(memoryview(header))
            for entry in ordered:
                if entry.span:
                    _copy(sources[entry.span.path], entry.span.offset, entry.size_bytes, file, buffer)
                else:
                    file.write(_bytes(entry.read()))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _no_room(target.parent, sum(entry.size_bytes for entry in ordered)) from error
        raise


def require_room(folder: Path, need_bytes: int) -> None:
    """Raise NotEnoughDisk unless this many bytes (and 50 MB to spare) fit on the folder's disk."""
    if shutil.disk_usage(folder).free < need_bytes + 50_000_000:
        raise _no_room(folder, need_bytes)


def cast(key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor in another number format, contiguous on the CPU.

    Raises:
        BadModelFile: a number is too large for the format.
    """
    if tensor.dtype == dtype or not tensor.is_floating_point():
        return tensor.contiguous()
    result = tensor.to(dtype).contiguous()
    if not torch.isfinite(torch.stack(result.aminmax())).all():
        raise BadModelFile(
            f"{key} holds {tensor.abs().max().item():.3g}, which is no number in {dtype}.",
            "Choose the number format fp32.",
        )
    return result


def _header(entries: Sequence[Entry], metadata: Mapping[str, str]) -> bytes:
    fields: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for entry in entries:
        start, end = end, end + entry.size_bytes
        fields[entry.key] = {
            "dtype": _NAMES[entry.dtype], "shape": list(entry.shape), "data_offsets": [start, end],
        }  # fmt: skip
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes(tensor: Tensor) -> memoryview:
    # numpy knows no bfloat16, so every format goes through plain bytes.
    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy())


def _copy(source: FileIO, offset: int, count: int, target: FlushedFile, buffer: memoryview) -> None:
    source.seek(offset)
    while count:
        read = source.readinto(buffer[: min(count, len(buffer))])
        if not read:
            raise Damaged(f"{source.name} is cut off.", "Convert the model or train the run again.")
        target.write(buffer[:read])
        count -= read


def _no_room(folder: Path, need_bytes: int) -> NotEnoughDisk:
    free = shutil.disk_usage(folder).free
    return NotEnoughDisk(
        f"This needs {need_bytes / 1e9:.2f} GB on the disk; {folder} has {free / 1e9:.2f} GB.",
        "Make room, or choose a folder on a larger disk.",
    )
