"""Photographs out of a zip file that nobody vouches for.

What the zip calls its files never becomes a path; sizes are counted while the bytes stream, whatever the
zip's directory promises; only the two plain ways of packing are read.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from dreamgui.data.photos import MAX_FILE_BYTES, MAX_PHOTOS, PICTURE_SUFFIXES, shown_name
from dreamgui.data.sniff import HEAD_BYTES, sniff
from dreamgui.errors import BadPhoto

MAX_MEMBERS = 10_000
_MAX_DIRECTORY_BYTES = 4_000_000
_END_BYTES = 22 + 65_535
_SPARE_BYTES = 64_000_000
_MOST_GROWTH = 4
_CHUNK_BYTES = 1 << 20
_ENCRYPTED = 0x1
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, struct.error, ValueError, NotImplementedError)


@dataclass(frozen=True)
class Member:
    """A picture of a zip: its own name, and where it was written, or the reason why it wasn't."""

    name: str
    path: Path | None
    reason: str = ""


def is_zip(path: Path) -> bool:
    """Whether a file is a zip, told by its content."""
    try:
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
    except _BROKEN as error:
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

    Hidden files, folders and files that aren't called like pictures are passed over. A bad member is named
    and the others go on; when all of it grows past four times the zip's own size (photographs hardly shrink
    in a zip), the rest is refused.

    Raises:
        BadPhoto: as :func:`open_zip`.
    """
    allowance = path.stat().st_size * _MOST_GROWTH + _SPARE_BYTES
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    with open_zip(path) as archive:
        for info in archive.infolist():
            if not _is_wanted(info):
                continue
            number += 1
            name = shown_name(Path(PurePosixPath(info.filename.replace("\\", "/")).name))
            if number > MAX_PHOTOS:
                yield Member(
                    name, None, f"{name} and what follows: {MAX_PHOTOS:,} photographs are the limit."
                )
                return
            target = folder / f"{number:05d}"
            reason = _why_not(info, name)
            if not reason:
                reason, written = _extract(archive, info, target, name, allowance)
                allowance -= written
            if reason:
                target.unlink(missing_ok=True)
            yield Member(name, None if reason else target, reason)
            if allowance <= 0:
                yield Member(
                    shown_name(path), None, f"{shown_name(path)} unpacks to far more than photographs do."
                )
                return


def _is_wanted(info: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(info.filename.replace("\\", "/")).parts
    hidden = any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)
    return (
        bool(parts)
        and not hidden
        and not info.is_dir()
        and Path(parts[-1]).suffix.lower() in PICTURE_SUFFIXES
    )


def _why_not(info: zipfile.ZipInfo, name: str) -> str:
    if info.flag_bits & _ENCRYPTED:
        return f"{name} is encrypted in its zip file."
    if stat.S_ISLNK(info.external_attr >> 16):
        return f"{name} is a link in its zip file, no picture."
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"{name} is packed in a way that isn't read (method {info.compress_type})."
    return ""


def _extract(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, name: str, allowance: int
) -> tuple[str, int]:
    """The reason why a member can't be had (or ""), and how many bytes were written."""
    written = 0
    try:
        with archive.open(info) as source, target.open("wb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                written += len(chunk)
                if written > MAX_FILE_BYTES or written > allowance:
                    return f"{name} unpacks to more than {written / 1e6:.0f} MB.", written
                file.write(chunk)
    except (*_BROKEN, RuntimeError) as error:
        return f"{name} can't be unpacked: {error}."[:300], written
    return "", written
