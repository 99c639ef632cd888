"""Safetensors files written in pieces, so that a model of 4 GB never lies in memory as a whole.

The bytes are those that ``safetensors.torch.save_file`` writes: tensors by dtype, then by name. Each piece is cast,
checked and written while it is still in the processor's cache. Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

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

from dreamgui.errors import BadModelFile, Damaged
from dreamgui.models.files.dtypes import ORDER, name_of
from dreamgui.models.files.flushed import WRITE_BYTES, FlushedFile
from dreamgui.workspace import not_enough_disk, report_full_disk

_PIECE = 1 << 18
_SPARE_BYTES = 50_000_000
_ELSEWHERE = "Make room, or choose a folder on a larger disk."


@dataclass(frozen=True)
class Span:
    """Place where a tensor's bytes begin in a file that holds it just as it shall be written."""

    path: Path
    offset: int


@dataclass(frozen=True)
class TensorEntry:
    """A tensor that will be in a file.

    Attributes:
        dtype: in the file.
        read: gives its values, on the CPU, in any dtype; called once.
        span: its bytes are copied from there. Out of a mapped file every page would cost a fault, which takes longer
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


class NonFiniteError(Exception):
    """The tensor of this name holds NaN or infinity once it is cast."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def write_safetensors(
    target: Path,
    entries: Sequence[TensorEntry],
    metadata: Mapping[str, str] | None = None,
    require_finite: bool = False,
) -> None:
    """Write tensors and texts as one safetensors file and flush it to the disk.

    The same tensors and texts give the same bytes, in whatever order they come.

    Args:
        metadata: texts for the header, beside "format".
        require_finite: refuse NaN and infinity in what isn't copied.

    Raises:
        NonFiniteError: a tensor holds NaN, infinity or a number too large for its dtype; the file isn't whole then.
        NotEnoughDisk: the disk is full.
        Damaged: a file that is copied from is cut off.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(entries, key=lambda entry: (ORDER[name_of(entry.dtype)], entry.key))
    header = _header(ordered, {"format": "pt", **(metadata or {})})
    need_bytes = file_bytes(entries) + len(header)
    with report_full_disk(target, need_bytes, _ELSEWHERE), ExitStack() as stack:
        file = stack.enter_context(FlushedFile(target))
        paths = {entry.span.path for entry in ordered if entry.span}
        sources = {path: stack.enter_context(path.open("rb", buffering=0)) for path in paths}
        buffer = memoryview(bytearray(WRITE_BYTES))
        # One piece for all casts: fresh memory for each would cost four times the cast itself in page faults.
        pieces = {entry.dtype: torch.empty(0, dtype=entry.dtype) for entry in ordered}
        file.write(memoryview(header))
        for entry in ordered:
            if entry.span:
                _copy(sources[entry.span.path], entry.span.offset, entry.size_bytes, file, buffer)
            else:
                _write_cast(file, entry, pieces, require_finite)


def file_bytes(entries: Sequence[TensorEntry]) -> int:
    """Return the bytes that these tensors take in a file, without its header."""
    return sum(entry.size_bytes for entry in entries)


def require_room(target: Path, need_bytes: int) -> None:
    """Raise NotEnoughDisk unless a file or folder of this many bytes fits on its disk, with 50 MB to spare."""
    target.parent.mkdir(parents=True, exist_ok=True)
    need_bytes += _SPARE_BYTES
    if shutil.disk_usage(target.parent).free < need_bytes:
        raise not_enough_disk(target, need_bytes, _ELSEWHERE)


def cast(key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor in another dtype, contiguous on the CPU.

    Raises:
        BadModelFile: a number is too large for the format.
    """
    if tensor.dtype == dtype or not tensor.is_floating_point():
        return tensor.contiguous()
    result = tensor.to(dtype).contiguous()
    if not finite(result):
        raise BadModelFile(
            f"{key} holds {tensor.abs().max().item():.3g}, which is no number in {dtype}.",
            "Choose the dtype fp32.",
        )
    return result


def finite(tensor: torch.Tensor) -> bool:
    """Return whether no number is NaN or infinite. aminmax passes NaN on, in a twentieth of isfinite's time."""
    if tensor.dtype.itemsize == 1:  # torch finds no extremes in fp8
        tensor = tensor.float()
    return not tensor.numel() or bool(torch.isfinite(torch.stack(tensor.aminmax())).all())


def _header(entries: Sequence[TensorEntry], metadata: Mapping[str, str]) -> bytes:
    fields: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for entry in entries:
        start, end = end, end + entry.size_bytes
        shape, offsets = list(entry.shape), [start, end]
        fields[entry.key] = {"dtype": name_of(entry.dtype), "shape": shape, "data_offsets": offsets}
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write_cast(
    file: FlushedFile, entry: TensorEntry, pieces: dict[torch.dtype, Tensor], require_finite: bool
) -> None:
    flat = entry.read().reshape(-1)
    other = flat.dtype != entry.dtype
    if other and not pieces[entry.dtype].numel():
        pieces[entry.dtype] = torch.empty(_PIECE, dtype=entry.dtype)
    for begin in range(0, flat.numel(), _PIECE):
        values = flat[begin : begin + _PIECE]
        values = pieces[entry.dtype][: values.numel()].copy_(values) if other else values
        if (other or require_finite) and values.is_floating_point() and not finite(values):
            raise NonFiniteError(entry.key)
        # numpy knows no bfloat16, so every dtype goes through plain bytes.
        file.write(memoryview(values.view(torch.uint8).numpy()))


def _copy(source: FileIO, offset: int, count: int, target: FlushedFile, buffer: memoryview) -> None:
    source.seek(offset)
    while count:
        read = source.readinto(buffer[: min(count, len(buffer))])
        if not read:
            raise Damaged(f"{source.name} is cut off.", "Convert the model or train the run again.")
        target.write(buffer[:read])
        count -= read
