"""Exported dataset as a zip or a folder: its files by name, read with limits."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dreamgui.data.dataset.entry import Entry
from dreamgui.data.exchange.beside import REPEATS_FOLDER
from dreamgui.data.photos.unpack import is_zip, open_zip

SHEET = "dataset.json"
MAX_SHEET_BYTES = 20_000_000


@dataclass(frozen=True)
class Packed:
    """Files of a zip or a folder.

    ``names`` gives their sizes in bytes by their names below the folder of dataset.json, '/' between parts.
    """

    names: Mapping[str, int]
    reader: Callable[[str, int], bytes]

    def read(self, name: str, most_bytes: int) -> bytes:
        """Content of a file.

        Raises:
            KeyError: there is none of this name.
            ValueError: it is longer, encrypted or strangely packed.
        """
        if name not in self.names:
            raise KeyError(f"{name} is missing")
        data = self.reader(name, most_bytes + 1)
        if len(data) > most_bytes:
            raise ValueError(f"{name} is larger than {most_bytes} bytes")
        return data

    @property
    def is_dataset(self) -> bool:
        """Return whether its dataset.json is ours. A broken one counts, so that it is refused by name."""
        if SHEET not in self.names:
            return False
        try:
            sheet = json.loads(self.read(SHEET, MAX_SHEET_BYTES))
        except (ValueError, RecursionError):
            return True
        return isinstance(sheet, dict) and isinstance(sheet.get("entries"), list)

    def place(self, entry: Entry) -> PurePosixPath:
        """Return where an entry's picture is: on its shelf, or in a folder that kohya's scripts read."""
        if str(entry.place) in self.names:
            return entry.place
        places = [PurePosixPath(name) for name in self.names if name.endswith(f"/{entry.file}")]
        return next((place for place in places if REPEATS_FOLDER.fullmatch(str(place.parent))), entry.place)


@contextmanager
def packed(path: Path) -> Generator[Packed, None, None]:
    """Open a zip or a folder that may hold an exported dataset. Anything else holds no files.

    Raises:
        BadPhoto: as :func:`dreamgui.data.photos.unpack.open_zip`.
    """
    if path.is_dir():
        yield _folder(path)
    elif is_zip(path):
        with open_zip(path) as archive:
            yield _zip(archive)
    else:
        yield Packed({}, lambda _name, _most: b"")


def _folder(path: Path) -> Packed:
    if not (path / SHEET).is_file():
        return Packed({}, lambda _name, _most: b"")

    def read(name: str, most_bytes: int) -> bytes:
        with (path / name).open("rb") as file:
            return file.read(most_bytes)

    files = (file for file in path.rglob("*") if file.is_file())
    return Packed({file.relative_to(path).as_posix(): file.stat().st_size for file in files}, read)


def _zip(archive: zipfile.ZipFile) -> Packed:
    infos = {info.filename.replace("\\", "/"): info for info in archive.infolist() if not info.is_dir()}
    start = _common_folder(list(infos))

    def read(name: str, most_bytes: int) -> bytes:
        info = infos[start + name]
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise ValueError(f"{name} is encrypted or strangely packed")
        with archive.open(info) as file:
            return file.read(most_bytes)

    sizes = {name: info.file_size for name, info in infos.items()}
    return Packed({name[len(start) :]: sizes[name] for name in sizes if name.startswith(start)}, read)


def _common_folder(names: list[str]) -> str:
    """The folder that a file manager packed, with the "/" behind it, or "" where there is none."""
    tops = {name.split("/")[0] for name in names if not name.startswith(("__MACOSX/", ".DS_Store"))}
    top = tops.pop() if len(tops) == 1 else ""
    return f"{top}/" if f"{top}/{SHEET}" in names else ""
