"""A job's log on the disk: its events in order, one JSON line each, and the lock of the program that writes it.

A program holds the lock from the moment the job is submitted until the whole log is written, and the system
releases it when the program dies. So a waiting or running job of a living program is told from a dead one's.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from dreamgui.events import Event, from_json, to_json


class JobLog:
    """The log of one job. One thread of one program writes it. Any number of programs read it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "events.jsonl"
        # The worker releases what the submitting thread has acquired.
        self._lock = FileLock(folder / ".lock", timeout=0, thread_local=False)
        self._missing = bytearray()
        self._read_bytes = 0

    def claim(self) -> bool:
        """Acquire the lock. Return False where a living program holds it."""
        try:
            self._lock.acquire()
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def begin(self) -> None:
        """Create the file, which tells other programs that the job runs."""
        with suppress(OSError):
            self._path.touch()

    @property
    def begun(self) -> bool:
        """Return whether the job runs or ran."""
        return self._path.exists()

    @property
    def whole(self) -> bool:
        """Return whether all events are on the disk."""
        return not self._missing

    def append(self, event: Event) -> None:
        """Write an event. Where the disk takes no more, it is kept in memory for the next call or flush."""
        line = json.dumps(to_json(event), ensure_ascii=False) + "\n"
        # File names that aren't valid text hold lone surrogates.
        self._missing += line.encode("utf-8", "surrogatepass")
        self.flush()

    def flush(self) -> bool:
        """Write what is missing on the disk. Return whether all is written.

        A line that fits in part is continued by the next call. Readers ignore a line without its end.
        """
        with suppress(OSError):
            if self._missing:
                with self._path.open("ab", buffering=0) as file:
                    while self._missing:
                        del self._missing[: _write(file, bytes(self._missing))]
        return self.whole

    def news(self) -> list[Event]:
        """Events that were written since the last call.

        Raises:
            ValueError, KeyError, TypeError: a line is no event.
        """
        if not self.begun:
            return []
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(whole) + len(end)
        return [from_json(json.loads(line)) for line in whole.split(b"\n")] if end else []

    def cut(self) -> None:
        """Remove the rest of a line that a killed program left behind the last event read."""
        if self.begun:
            with suppress(OSError), self._path.open("rb+") as file:
                file.truncate(self._read_bytes)


def _write(file: BinaryIO, data: bytes) -> int:
    return file.write(data)
