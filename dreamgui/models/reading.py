"""Tensors of a model file, one at a time: safetensors through its library, a pickled checkpoint by its plan."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from dreamgui.errors import BadModelFile
from dreamgui.models.header import ITEM_BYTES, Header

TORCH_FORMATS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


class TensorReader(AbstractContextManager["TensorReader"]):
    """Reads tensors of one file; a safetensors file stays mapped, so a tensor takes memory only when it is cast."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self._header = header
        self._stack = ExitStack()
        self._file: Any = None

    def __enter__(self) -> TensorReader:
        try:
            opened = self.path.open("rb") if self._header.places else safe_open(self.path, "pt")
        except (OSError, SafetensorError) as error:
            raise self._unreadable(error) from error
        self._file = self._stack.enter_context(opened)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def get(self, key: str) -> torch.Tensor:
        """One tensor.

        Raises:
            BadModelFile: the file can't be read.
        """
        try:
            return self._pickled(key) if self._header.places else self._file.get_tensor(key)
        except (OSError, SafetensorError) as error:
            raise self._unreadable(error) from error

    def _pickled(self, key: str) -> torch.Tensor:
        place, shape = self._header.places[key], self._header.shapes[key]
        number_format = self._header.formats[key]
        if 0 in shape:
            return torch.empty(shape, dtype=TORCH_FORMATS[number_format])
        last = sum((n - 1) * stride for n, stride in zip(shape, place.strides, strict=True))
        numbers = bytearray((last + 1) * ITEM_BYTES[number_format])
        self._file.seek(place.offset)
        if self._file.readinto(numbers) != len(numbers):
            raise OSError("it is cut off")
        return torch.frombuffer(numbers, dtype=TORCH_FORMATS[number_format]).as_strided(shape, place.strides)

    def _unreadable(self, error: Exception) -> BadModelFile:
        return BadModelFile(f"{self.path.name} can't be read: {str(error)[:200]}.", "Download it again.")
