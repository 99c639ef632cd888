"""The SHA-256 of large files, computed beside other work: hashing leaves Python's lock to the others."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

_CHUNK_BYTES = 1 << 22


class BackgroundHash(AbstractContextManager["BackgroundHash"]):
    """Starts hashing files, one behind the other as if they were one, on entry. :meth:`result` waits for it.
    Leaving early stops it."""

    def __init__(self, paths: Sequence[Path], known: str = "") -> None:
        self._paths = paths
        self._known = known
        self._stop = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._work, name="hash", daemon=True)

    def __enter__(self) -> BackgroundHash:
        if not self._known:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def result(self) -> str:
        """The hash in hexadecimal.

        Raises:
            OSError: one couldn't be read.
        """
        if not self._known:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._known

    def _work(self) -> None:
        digest, buffer = hashlib.sha256(), bytearray(_CHUNK_BYTES)
        try:
            for path in self._paths:
                with path.open("rb", buffering=0) as file:
                    while (count := file.readinto(buffer)) and not self._stop.is_set():
                        digest.update(memoryview(buffer)[:count])
        except OSError as error:
            self._error = error
        self._known = digest.hexdigest()
