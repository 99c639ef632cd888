"""A dataset's files, in step with dataset.json whenever the program is killed and whoever else writes.

A change is written in this order: new crops beside the old ones (in .next/, named after their version) and
the captions that the change supersedes (.next/captions.json), then dataset.json, then the crops, captions and
metadata.jsonl take their places. Whoever loads the folder next finishes what was cut off after dataset.json,
and throws away what was cut off before it. A caption that is neither dataset.json's nor superseded was changed
by another program and wins (``dreamgui/data/dataset/takeover.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from dreamgui.data.dataset.captions import Caption, read_caption
from dreamgui.data.dataset.entry import Entry, Sheet
from dreamgui.data.dataset.layouts import is_untouched, kohya_toml, metadata_rows
from dreamgui.data.dataset.takeover import (
    ROWS,
    SHELVES,
    Takeover,
    Texts,
    read_superseded,
    rows_by_crop,
    take_over,
    write_superseded,
)
from dreamgui.errors import AlreadyRunning, Damaged
from dreamgui.workspace import write_atomic

_SHEET, _NEXT = "dataset.json", ".next"
SUPERSEDED = f"{_NEXT}/captions.json"
_KOHYA = "kohya.toml"
_PATIENCE_SECONDS = 20


class Store:
    """The files of the dataset in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the dataset's lock, so that nobody else, in this program or another, changes it meanwhile.

        Raises:
            AlreadyRunning: somebody else has been changing it for 20 seconds.
        """
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=_PATIENCE_SECONDS)
        except Timeout as error:
            raise AlreadyRunning(
                f"The dataset {self.folder.name} is being changed elsewhere.", "Try again in a moment."
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
                f"The dataset {self.folder.name} can't be read: {error}"[:300], "Crop the photographs again."
            ) from error

    def load(self) -> Takeover:
        """dataset.json, after finishing what a killed program left half done, and with the captions that other
        programs changed since.

        Raises:
            Damaged: dataset.json is missing or broken, or a crop is missing.
        """
        sheet = self.read()
        if self._in_step(sheet):
            return Takeover(sheet, ())
        with self.locked():
            return self.current()

    def peek(self) -> Takeover:
        """Return what :meth:`load` would, and write nothing: whoever loads the dataset next is still told.

        Raises:
            Damaged: dataset.json is missing or broken.
        """
        sheet = self.read()
        return Takeover(sheet, ()) if self._in_step(sheet) else self._taken_over(sheet)

    def current(self) -> Takeover:
        """Return what :meth:`load` returns. Call it locked."""
        sheet = self.read()
        if self._in_step(sheet):
            return Takeover(sheet, ())
        found = self._taken_over(sheet)
        if found.sheet != sheet:
            self.write(found.sheet, found.sheet.entries, {})
        else:
            self._settle(sheet, sheet.entries)
        return found

    def _taken_over(self, sheet: Sheet) -> Takeover:
        return take_over(sheet, Texts(self._beside, self._listed(), self._superseded()))

    def write(self, sheet: Sheet, changed: Iterable[Entry], crops: Mapping[str, bytes]) -> None:
        """Write a sheet, the changed entries' captions and places, and new crops by name. Call it locked.

        Raises:
            Damaged: what was written reads back differently, or a crop is missing.
        """
        changed = tuple(changed)
        for entry in changed:
            if entry.file in crops:
                _write(self._next(entry), crops[entry.file])
        self._note_superseded(changed)
        _write(self.folder / _SHEET, (sheet.model_dump_json(indent=1) + "\n").encode())
        self._settle(sheet, changed)

    def path(self, entry: Entry) -> Path:
        """Return where the entry's picture belongs."""
        return self.folder / entry.place

    def _next(self, entry: Entry) -> Path:
        return self.folder / _NEXT / f"{entry.version}-{entry.file}"

    def _shelved(self, entry: Entry) -> list[Path]:
        """Return where an entry's text file may lie, the right place first."""
        shelves = sorted(SHELVES, key=lambda shelf: shelf != entry.shelf)
        return [(self.folder / shelf / entry.file).with_suffix(".txt") for shelf in shelves]

    def _beside(self, entry: Entry) -> list[Caption]:
        return [found for path in self._shelved(entry) if (found := read_caption(path)) is not None]

    def _listed(self) -> dict[str, str]:
        return rows_by_crop(_read(self.folder / ROWS) or b"")

    def _superseded(self) -> Mapping[str, Sequence[str]]:
        return read_superseded(_read(self.folder / SUPERSEDED) or b"{}")

    def _note_superseded(self, changed: Iterable[Entry]) -> None:
        """Keep the captions that the disk holds and that a change is about to replace: they are none of
        another program's, should the change be cut off."""
        rows = self._listed()
        texts = {
            entry.file: {*(found.text for found in self._beside(entry)), rows.get(entry.file, entry.caption)}
            for entry in changed
        }
        old = {entry.file: sorted(texts[entry.file] - {entry.caption}) for entry in changed}
        if any(old.values()):
            _write(self.folder / SUPERSEDED, write_superseded(old))

    def _in_step(self, sheet: Sheet) -> bool:
        pending = self.folder / _NEXT
        if pending.is_dir() and any(pending.iterdir()):
            return False
        if _read(self.folder / ROWS) != metadata_rows(sheet.entries).encode():
            return False
        return self._has_kohya(sheet) and all(self._is_in_place(entry) for entry in sheet.entries)

    def _kohya(self, sheet: Sheet) -> str:
        return kohya_toml(sheet.size_px, (self.folder / "images").absolute().as_posix())

    def _has_kohya(self, sheet: Sheet) -> bool:
        """Return whether kohya.toml names this folder, or is the user's own."""
        data = _read(self.folder / _KOHYA)
        text = None if data is None else data.decode("utf-8", "replace")
        return text == self._kohya(sheet) or (text is not None and not is_untouched(text, sheet.size_px))

    def _is_in_place(self, entry: Entry) -> bool:
        right, *wrong = self._shelved(entry)
        return (
            self.path(entry).exists()
            and _read(right) == entry.caption.encode()
            and not any(path.exists() for path in wrong)
        )

    def _settle(self, sheet: Sheet, entries: Iterable[Entry]) -> None:
        """Bring everything to where the sheet says it is."""
        for entry in entries:
            self._settle_entry(entry)
        if _read(self.folder / ROWS) != metadata_rows(sheet.entries).encode():
            _write(self.folder / ROWS, metadata_rows(sheet.entries).encode())
        if not self._has_kohya(sheet):
            _write(self.folder / _KOHYA, self._kohya(sheet).encode())
        # Last, as it says which captions are our own.
        pending = self.folder / _NEXT
        if pending.is_dir():
            for leftover in pending.iterdir():
                leftover.unlink()

    def _settle_entry(self, entry: Entry) -> None:
        right, new = self.path(entry), self._next(entry)
        right.parent.mkdir(exist_ok=True)
        if new.exists():
            new.replace(right)
        text, *texts = self._shelved(entry)
        if _read(text) != entry.caption.encode():
            _write(text, entry.caption.encode())
        for wrong in texts:
            picture = wrong.with_suffix(".png")
            if picture.exists() and not right.exists():
                picture.replace(right)
            picture.unlink(missing_ok=True)
            wrong.unlink(missing_ok=True)
        if not right.exists():
            raise Damaged(f"The crop {right} is missing.", "Crop the photographs again.")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _write(path: Path, data: bytes) -> None:
    write_atomic(path, data)
    if path.read_bytes() != data:
        raise Damaged(f"{path} reads back differently from what was written.", "Check the disk.")
