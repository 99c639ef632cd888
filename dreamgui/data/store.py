"""A data set's files, in step with dataset.json whenever the program is killed and whoever else writes.

A change is written in this order: new crops beside the old ones (in .next/, named after their version), then
dataset.json, then the crops, captions and metadata.jsonl take their places. Whoever loads the folder next
finishes what was cut off after dataset.json, and throws away what was cut off before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from dreamgui.data.entry import Entry, Sheet
from dreamgui.errors import AlreadyRunning, Damaged
from dreamgui.workspace import write_atomic

_SHEET, _ROWS, _NEXT = "dataset.json", "metadata.jsonl", ".next"
_KOHYA = "kohya.toml"
_PATIENCE_SECONDS = 20


class Store:
    """The files of the data set in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else, in this program or another, changes the data set meanwhile.

        Raises:
            AlreadyRunning: somebody else has been changing it for 20 seconds.
        """
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=_PATIENCE_SECONDS)
        except Timeout as error:
            raise AlreadyRunning(
                f"The data set {self.folder.name} is being changed elsewhere.", "Try again in a moment."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def read(self) -> Sheet:
        """dataset.json.

        Raises:
            Damaged: it is missing or broken.
        """
        try:
            return Sheet.model_validate_json((self.folder / _SHEET).read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise Damaged(
                f"The data set {self.folder.name} can't be read: {error}"[:300], "Crop the photographs again."
            ) from error

    def load(self) -> Sheet:
        """dataset.json, after finishing what a killed program left half done.

        Raises:
            Damaged: dataset.json is missing or broken, or a crop is missing.
        """
        sheet = self.read()
        if not self._in_step(sheet):
            with self.locked():
                sheet = self.read()
                self._settle(sheet, sheet.entries)
        return sheet

    def write(self, sheet: Sheet, changed: Iterable[Entry], crops: Mapping[str, bytes]) -> None:
        """Write a sheet, the changed entries' captions and places, and new crops by name. Call it locked.

        Raises:
            Damaged: what was written reads back differently, or a crop is missing.
        """
        changed = tuple(changed)
        for entry in changed:
            if entry.file in crops:
                _write(self._next(entry), crops[entry.file])
        _write(self.folder / _SHEET, (sheet.model_dump_json(indent=1) + "\n").encode())
        self._settle(sheet, changed)

    def path(self, entry: Entry) -> Path:
        """Where the entry's picture belongs."""
        return self.folder / entry.place

    def _next(self, entry: Entry) -> Path:
        return self.folder / _NEXT / f"{entry.version}-{entry.file}"

    def _in_step(self, sheet: Sheet) -> bool:
        pending = self.folder / _NEXT
        if pending.is_dir() and any(pending.iterdir()):
            return False
        if _read(self.folder / _ROWS) != _rows(sheet):
            return False
        places = ((self.path(entry), entry.caption) for entry in sheet.entries)
        return all(path.exists() and _read(path.with_suffix(".txt")) == text for path, text in places)

    def _settle(self, sheet: Sheet, entries: Iterable[Entry]) -> None:
        """Bring everything to where the sheet says it is."""
        for entry in entries:
            self._settle_entry(entry)
        pending = self.folder / _NEXT
        if pending.is_dir():
            for leftover in pending.iterdir():
                leftover.unlink()
        if _read(self.folder / _ROWS) != _rows(sheet):
            _write(self.folder / _ROWS, _rows(sheet).encode())
        if not (self.folder / _KOHYA).exists():
            _write(self.folder / _KOHYA, kohya_toml(sheet.size_px).encode())

    def _settle_entry(self, entry: Entry) -> None:
        right, new = self.path(entry), self._next(entry)
        right.parent.mkdir(exist_ok=True)
        wrong = [
            self.folder / shelf / entry.file
            for shelf in ("images", ".held-out", ".dropped")
            if shelf != entry.shelf
        ]
        if new.exists():
            new.replace(right)
        for path in wrong:
            if path.exists() and not right.exists():
                path.replace(right)
            path.unlink(missing_ok=True)
            path.with_suffix(".txt").unlink(missing_ok=True)
        if not right.exists():
            raise Damaged(f"The crop {right} is missing.", "Crop the photographs again.")
        if _read(right.with_suffix(".txt")) != entry.caption:
            _write(right.with_suffix(".txt"), entry.caption.encode())


def kohya_toml(size_px: int) -> str:
    """A ``--dataset_config`` for sd-scripts, started in the folder: reads images/ with the captions."""
    return (
        "[general]\n"
        'caption_extension = ".txt"\n'
        "\n"
        "[[datasets]]\n"
        f"resolution = {size_px}\n"
        "\n"
        "  [[datasets.subsets]]\n"
        '  image_dir = "images"\n'
        "  num_repeats = 10\n"
    )


def _rows(sheet: Sheet) -> str:
    rows = [{"file_name": str(entry.place), "text": entry.caption} for entry in sheet.entries if entry.in_use]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _write(path: Path, data: bytes) -> None:
    write_atomic(path, data)
    if path.read_bytes() != data:
        raise Damaged(f"{path} reads back differently from what was written.", "Check the disk.")
