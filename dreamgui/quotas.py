"""Limits of what visitors take: uploads, disk, jobs and time on the device, for each and for all together.

The owner of the machine has none. Whoever asks for too much reads what there is, what it would take, and what to do.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dreamgui.errors import BadInput, NotEnoughDisk, TooMuch
from dreamgui.sizes import file_size

DAY_SECONDS = 24 * 3600
MEASURED_SECONDS = 10.0
"""Age up to which a measured size is believed."""
WARNING_SHARE = 0.8
"""Share of a limit from which on the page says so."""
SPARE_BYTES = 2_000_000_000
"""Disk that visitors leave free."""


@dataclass(frozen=True)
class Limits:
    """Limits of a page that strangers reach. Bytes, seconds and counts.

    Attributes:
        upload_bytes: files of a visitor that were sent and not yet removed.
        uploads_in_all: the same of all visitors.
        disk_bytes: a visitor's workspace.
        disk_in_all: all visitors' workspaces.
        jobs: jobs of a visitor that run or wait.
        jobs_in_all: the same of all visitors.
        turn_seconds: time on the device after which a job ends once another visitor waits.
        visitors: workspaces of visitors.
        kept_seconds: absence after which a visitor's data are deleted; 0 for never.
    """

    upload_bytes: int = 2_000_000_000
    uploads_in_all: int = 20_000_000_000
    disk_bytes: int = 10_000_000_000
    disk_in_all: int = 200_000_000_000
    jobs: int = 3
    jobs_in_all: int = 40
    turn_seconds: float = 3600.0
    visitors: int = 500
    kept_seconds: float = 0.0


def limits_of_environment(kept_days: float) -> Limits:
    """Return the limits with what DREAMGUI_VISITOR_GB, DREAMGUI_TURN_MINUTES and DREAMGUI_KEPT_DAYS say.

    Args:
        kept_days: days of absence until deletion where the environment doesn't say; 0 for never.

    Raises:
        BadInput: one of them is no number, or below 0.
    """
    return Limits(
        disk_bytes=round(1e9 * _number("DREAMGUI_VISITOR_GB", 10)),
        turn_seconds=60 * _number("DREAMGUI_TURN_MINUTES", 60),
        kept_seconds=DAY_SECONDS * _number("DREAMGUI_KEPT_DAYS", kept_days),
    )


def _number(name: str, otherwise: float) -> float:
    text = os.environ.get(name, "")
    try:
        number = float(text or otherwise)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e6:
        raise BadInput(f"{name}={text} is no number from 0 on.", f"Set {name} to a number, or leave it out.")
    return number


class Quotas:
    """Use of one server by its visitors, held against the limits.

    Args:
        folder: holds a folder for each visitor.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.limits = limits
        self._folder = folder
        self._lock = threading.Lock()
        self._measured: dict[str, tuple[float, int]] = {}

    def used(self, visitor: str) -> int:
        """Return the bytes of a visitor's workspace, measured at most every 10 s."""
        return self._sized(visitor, self._folder / visitor)

    def room(self, visitor: str) -> int:
        """Return the bytes that this visitor may still write, 0 or more."""
        mine = self.limits.disk_bytes - self.used(visitor)
        everybody = self.limits.disk_in_all - self._sized("", self._folder)
        return max(0, min(mine, everybody, free_bytes(self._folder) - SPARE_BYTES))

    def check_job(self, visitor: str, mine: int, line: int) -> None:
        """Let a job begin or wait.

        Args:
            mine: the visitor's jobs that run or wait.
            line: all visitors' jobs that run or wait.

        Raises:
            TooMuch: there are too many.
            NotEnoughDisk: the visitor's disk is full, or all visitors' is.
        """
        if mine >= self.limits.jobs:
            raise TooMuch(
                f"You have {mine} jobs that run or wait, and {self.limits.jobs} is the limit.",
                "Wait for one, or stop one.",
            )
        if line >= self.limits.jobs_in_all:
            raise TooMuch(f"{line} jobs wait before the device; no more are taken.", "Try again later.")
        if self.room(visitor) == 0:
            raise NotEnoughDisk(
                self.sentence(visitor), "Delete what you no longer need in the Library, then empty its trash."
            )

    def check_visitors(self) -> None:
        """Let one more visitor have a workspace.

        Raises:
            TooMuch: there are as many as there may be.
        """
        with os.scandir(self._folder) as there:
            count = sum(entry.is_dir() and not entry.name.startswith(".") for entry in there)
        if count >= self.limits.visitors:
            raise TooMuch("This page has as many visitors as it can take.", "Try again tomorrow.")

    def sentence(self, visitor: str) -> str:
        """Return what of the disk this visitor has used, and how much there is."""
        used, room = self.used(visitor), self.room(visitor)
        full = " There is no room for more." if room == 0 else ""
        return f"You have used {file_size(used)} of {file_size(used + room)}.{full}"

    def is_nearly_full(self, visitor: str) -> bool:
        """Return whether a visitor has used four fifths of what there is."""
        used = self.used(visitor)
        return used >= WARNING_SHARE * (used + self.room(visitor))

    def forget(self, visitor: str) -> None:
        """Measure anew at the next question."""
        with self._lock:
            self._measured.pop(visitor, None)
            self._measured.pop("", None)

    def _sized(self, key: str, folder: Path) -> int:
        now = time.monotonic()
        with self._lock:
            when, size = self._measured.get(key, (-MEASURED_SECONDS, 0))
            if now - when < MEASURED_SECONDS:
                return size
        size = sum(_sizes(folder))
        with self._lock:
            self._measured[key] = (now, size)
        return size


class Turn:
    """The rule that no job keeps the device while another visitor waits.

    Args:
        limits: its ``turn_seconds`` count.
        clock: gives seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = limits.turn_seconds
        self._clock = clock

    def is_over(self, began: float | None, others_wait: bool) -> bool:
        """Return whether a job that began then must end."""
        return began is not None and others_wait and self._clock() - began >= self._seconds

    @property
    def sentence(self) -> str:
        """Reason that the job's visitor reads."""
        return (
            f"Others wait, and a turn on the device has {self._seconds / 60:.0f} minutes. What was made is kept; "
            "a training goes on from its last checkpoint with Resume."
        )


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that holds this folder, or will."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), Path())
    return shutil.disk_usage(there).free


def _sizes(folder: Path) -> Iterator[int]:
    """Yield the bytes of each file below a folder, links not followed. What vanishes meanwhile counts nothing."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
