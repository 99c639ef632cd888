"""Tensors of a model file, one at a time: safetensors through its library, a pickled checkpoint by its plan."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from dreamgui.errors import BadModelFile
from dreamgui.models.files.dtypes import ITEM_BYTES, torch_dtype
from dreamgui.models.files.header import FileHeader


class TensorReader(AbstractContextManager["TensorReader"]):
    """Reads tensors of one file, or of the files that its header names. A safetensors file stays mapped, so a tensor takes memory only when it is cast."""

    def __init__(self, path: Path, header: FileHeader) -> None:
        self.path = path
        self._header = header
        self._stack = ExitStack()
        self._file: Any = None
        self._files: dict[Path, Any] = {}

    def __enter__(self) -> TensorReader:
        try:
            if self._header.places:
                self._file = self._stack.enter_context(self.path.open("rb"))
            for path in () if self._header.places else set(self._header.files.values()) or {self.path}:
                self._files[path] = self._stack.enter_context(safe_open(path, "pt"))
        except (OSError, SafetensorError) as error:
            self._stack.close()
            raise self._unreadable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def get(self, key: str) -> torch.Tensor:
        """One tensor.

        Raises:
            BadModelFile: the file can't be read.
        """
        try:
            if self._header.places:
                return self._pickled(key)
            return self._files[self._header.files.get(key, self.path)].get_tensor(key)
        except (OSError, SafetensorError) as error:
            raise self._unreadable(error) from error

    def _pickled(self, key: str) -> torch.Tensor:
        place, shape = self._header.places[key], self._header.shapes[key]
        dtype = self._header.dtypes[key]
        if 0 in shape:
            return torch.empty(shape, dtype=torch_dtype(dtype))
        last = sum((n - 1) * stride for n, stride in zip(shape, place.strides, strict=True))
        numbers = bytearray((last + 1) * ITEM_BYTES[dtype])
        self._file.seek(place.offset)
        if self._file.readinto(numbers) != len(numbers):
            raise OSError("it is cut off")
        return torch.frombuffer(numbers, dtype=torch_dtype(dtype)).as_strided(shape, place.strides)

    def _unreadable(self, error: Exception) -> BadModelFile:
        return BadModelFile(f"{self.path.name} can't be read: {str(error)[:200]}.", "Download it again.")
