"""Photographs out of a zip file that nobody vouches for.

What the zip calls its files never becomes a path; sizes are counted while the bytes stream, whatever the
zip's directory promises; only the two plain ways of packing are read.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO

from dreamgui.data.photos.found import describe_passed_over, is_hidden, kind_by
from dreamgui.data.photos.load import MAX_FILE_BYTES, MAX_PHOTOS, shown_name
from dreamgui.data.photos.sniff import HEAD_BYTES, sniff
from dreamgui.data.photos.zip_names import name_in_zip
from dreamgui.errors import BadPhoto
from dreamgui.sizes import file_size

MAX_MEMBERS = 10_000
_MAX_DIRECTORY_BYTES = 4_000_000
_END_BYTES = 22 + 65_535
SPARE_BYTES = 64_000_000
_MAX_SMALL_BYTES = 20_000_000
MOST_GROWTH = 4
_CHUNK_BYTES = 1 << 20
_ENCRYPTED = 0x1
_NOWHERE = PurePosixPath()
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 99: "AES"}
BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, struct.error, ValueError, NotImplementedError)


@dataclass(frozen=True)
class Member:
    """A picture: its own name, and where it was written, or the reason why it wasn't.

    ``origin`` is its place in its zip or on the disk, ``caption`` the one that lay beside it, ``folder`` its folder's
    name.
    """

    name: str
    path: Path | None
    reason: str = ""
    origin: PurePosixPath = _NOWHERE
    caption: str = ""
    folder: str = ""


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip, told by its content. A pipe, a socket or a device is none. Nothing is read of it."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return sniff(file.read(HEAD_BYTES)) == "zip"
    except OSError:
        return False


def open_zip(path: Path) -> zipfile.ZipFile:
    """A zip whose directory is small enough to be read.

    Raises:
        BadPhoto: it is damaged, or lists more than 10,000 files.
    """
    name = shown_name(path)
    try:
        with path.open("rb") as file:
            _check_directory(file, name)
        archive = zipfile.ZipFile(path)
    except BROKEN as error:
        raise BadPhoto(f"{name} is a damaged zip file: {error}."[:300], "Pack it again.") from error
    if len(archive.infolist()) > MAX_MEMBERS:
        archive.close()
        raise _too_many(name, len(archive.infolist()))
    return archive


def _check_directory(file: IO[bytes], name: str) -> None:
    """Refuse a huge directory before zipfile reads all of it into memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_BYTES))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("it has no directory")
    count, directory_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    if count > MAX_MEMBERS or directory_bytes > _MAX_DIRECTORY_BYTES:
        raise _too_many(name, count)


def _too_many(name: str, count: int) -> BadPhoto:
    return BadPhoto(
        f"{name} lists {count:,} files or more; the limit is {MAX_MEMBERS:,}.", "Pack only the photographs."
    )


def unpack(path: Path, folder: Path) -> Iterator[Member]:
    """Write a zip's pictures into a folder under generated names, one by one.

    Hidden files, folders and words are passed over in silence; what else is no picture by its ending or content
    is counted in a last member without a path. A bad member is named and the others go on; when all of it grows past four times the zip's own size (photographs hardly shrink
    in a zip), the rest is refused.

    Raises:
        BadPhoto: as :func:`open_zip`.
    """
    allowance = path.stat().st_size * MOST_GROWTH + SPARE_BYTES
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    passed_over: Counter[str] = Counter()
    with open_zip(path) as archive:
        for info in archive.infolist():
            if kind := _passed_over_as(archive, info):
                passed_over.update([kind] if kind != "silent" else [])
                continue
            number += 1
            inside = PurePosixPath(name_in_zip(info))
            name = shown_name(Path(inside.name))
            home = shown_name(Path(inside.parent.name)) if inside.parent.name else shown_name(path)
            if number > MAX_PHOTOS:
                yield Member(
                    name,
                    None,
                    f"{name} and what follows: {MAX_PHOTOS:,} photographs are the limit. Pack fewer.",
                )
                return
            target = folder / f"{number:05d}"
            reason = why_not(info, name)
            if not reason:
                reason, written = extract(archive, info, target, name, allowance)
                allowance -= written
            if reason:
                target.unlink(missing_ok=True)
            yield Member(name, None if reason else target, reason, inside, folder=home)
            if allowance <= 0:
                yield Member(
                    shown_name(path),
                    None,
                    f"{shown_name(path)} unpacks to far more than photographs do. Pack only the photographs.",
                )
                return
    if passed_over:
        yield Member(shown_name(path), None, f"{shown_name(path)}: {describe_passed_over(passed_over)}")


@contextmanager
def small_files(path: Path) -> Generator[Callable[[PurePosixPath], bytes | None], None, None]:
    """Give a reader of a zip's small files by their names in it: None where there is none, or none that can be
    read.

    Raises:
        BadPhoto: as :func:`open_zip`.
    """
    with open_zip(path) as archive:
        infos = {PurePosixPath(name_in_zip(info)): info for info in archive.infolist()}

        @cache
        def read(name: PurePosixPath) -> bytes | None:
            info = infos.get(name)
            if info is None or info.file_size > _MAX_SMALL_BYTES or why_not(info, str(name)):
                return None
            try:
                with archive.open(info) as file:
                    return file.read(_MAX_SMALL_BYTES)
            except (*BROKEN, RuntimeError):
                return None

        yield read


def _passed_over_as(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    """The kind as which a member isn't taken, or "" for one that is."""
    parts = PurePosixPath(name_in_zip(info)).parts
    if not parts or is_hidden(parts) or info.is_dir():
        return "silent"
    if not kind_by(parts[-1], b""):
        return ""
    try:
        with archive.open(info) as content:
            return kind_by(parts[-1], content.read(HEAD_BYTES))
    except (*BROKEN, RuntimeError):
        return "unreadable file"


def why_not(info: zipfile.ZipInfo, name: str) -> str:
    """Return why a member isn't unpacked, as a sentence, or "" where it may be."""
    if info.flag_bits & _ENCRYPTED:
        return f"{name} is encrypted in its zip file. Pack it without a password."
    if stat.S_ISLNK(info.external_attr >> 16):
        return f"{name} is a link in its zip file, no picture. Pack the picture itself."
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        return f"{name} is packed in a way that isn't read ({method}). Unpack it, or pack a plain zip."
    return ""


def extract(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, name: str, allowance: int
) -> tuple[str, int]:
    """Write a member to a file. Return the reason why it can't be had (or ""), and how many bytes were written.

    Args:
        allowance: so many bytes may be written at most.
    """
    written = 0
    try:
        with archive.open(info) as source, target.open("wb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                written += len(chunk)
                if written > MAX_FILE_BYTES or written > allowance:
                    return f"{name} unpacks to more than {file_size(written)}. Leave it out.", written
                file.write(chunk)
    except (*BROKEN, RuntimeError) as error:
        return f"{name} can't be unpacked: {error}"[:300].rstrip(".") + ". Pack it again.", written
    return "", written
