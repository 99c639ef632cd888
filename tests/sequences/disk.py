"""A disk that fills up, and a program that dies between two operations on it, by an audit hook of Python."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from safetensors import SafetensorError

from dreamgui.jobs import log as job_log
from dreamgui.models.lora import text_encoders
from dreamgui.training import checkpoints

_CREATES = os.O_CREAT
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}
_FREE_BYTES = 10**11


class Disk:
    """The disk below ``root``: creating a file or folder fails where it is full.

    Attributes:
        room_bytes: how much can still be written; None: enough.
        death: the process is killed before this operation, counted from 1; 0: it lives.
    """

    def __init__(self) -> None:
        self.root = ""
        self.room_bytes: int | None = None
        self.death = 0
        self._limit_bytes = 0
        sys.addaudithook(self._hear)

    def attach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand before what Python's audit hooks don't hear: safetensors, the log's open file, the free space."""
        for module in (checkpoints, text_encoders):
            monkeypatch.setattr(module, "save_file", self._saving(module.save_file))
        monkeypatch.setattr(job_log, "_write", self._write)
        monkeypatch.setattr(shutil, "disk_usage", self._usage)

    def fill(self, room_bytes: int) -> None:
        """Leave room for so much more."""
        self.room_bytes = room_bytes
        self._limit_bytes = _used_bytes(self.root) + room_bytes

    def free(self) -> None:
        """Make room."""
        self.room_bytes = None

    @property
    def left_bytes(self) -> int:
        """Bytes that can still be written."""
        return _FREE_BYTES if self.room_bytes is None else max(0, self._limit_bytes - _used_bytes(self.root))

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """Look at it, or change it by hand, as if it had room."""
        room_bytes, self.room_bytes = self.room_bytes, None
        try:
            yield
        finally:
            self.room_bytes = room_bytes

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.root or (event != "open" and event not in _CHANGES):
            return
        path, creates = args[0], event == "os.mkdir"
        if event == "open":
            creates = bool(args[2] & _CREATES)
            if not creates:
                return
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if not text.startswith(self.root):
            return
        self._die_in_time()
        if creates and self.room_bytes is not None and not os.path.exists(text) and not self.left_bytes:  # noqa: PTH110
            raise OSError(errno.ENOSPC, "No space left on device", text)

    def _die_in_time(self) -> None:
        if self.death:
            self.death -= 1
            if not self.death:
                os.kill(os.getpid(), signal.SIGKILL)

    def _saving(self, save: Callable[..., None]) -> Callable[..., None]:
        def save_file(tensors: Any, path: Path, *more: Any, **options: Any) -> None:
            left_bytes = self.left_bytes
            save(tensors, path, *more, **options)
            size = path.stat().st_size
            if self.death == 1:
                _cut(path, size // 2)
            self._die_in_time()
            if size > left_bytes:
                _cut(path, left_bytes)
                raise SafetensorError("I/O error: No space left on device (os error 28)")

        return save_file

    def _write(self, file: BinaryIO, data: bytes) -> int:
        taken = data[: self.left_bytes]
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return file.write(taken)

    def _usage(self, path: object) -> Any:
        # Another program fills it up: there is room until there is none.
        left_bytes = self.left_bytes
        return shutil._ntuple_diskusage(2 * _FREE_BYTES, _FREE_BYTES, _FREE_BYTES if left_bytes else 0)  # type: ignore[attr-defined]


def _cut(path: Path, size_bytes: int) -> None:
    with path.open("rb+") as file:
        file.truncate(size_bytes)


def _used_bytes(root: str) -> int:
    total = 0
    for folder, _, files in os.walk(root):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
            except OSError:
                continue
    return total


def composed(name: str) -> str:
    """The name as the program lists it."""
    return unicodedata.normalize("NFC", name)
