"""A zip of photographs whose photographs have lost their metadata, with nothing else in it that isn't read."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from dreamgui.data.photos.bare import HEAD_KEPT_BYTES, strip_file
from dreamgui.data.photos.found import kind_by
from dreamgui.data.photos.sniff import HEAD_BYTES
from dreamgui.data.photos.unpack import BROKEN, MOST_GROWTH, SPARE_BYTES, extract, is_zip, open_zip, why_not
from dreamgui.data.photos.zip_names import name_in_zip
from dreamgui.errors import BadPhoto

_READ = (".txt", ".caption", ".toml", "metadata.jsonl", "dataset.json", "captions.json")
"""Ends of names of what is read beside photographs. Other words may hold places: those of Google's Takeout do."""
_WORDS_BYTES = 20_000_000
_PLAIN = 0o100644 << 16
_WEIGHTS = "data.pkl"
"""In each checkpoint of PyTorch, which is a zip too."""


def strip_upload(path: Path) -> bool:
    """Remove metadata of a photograph, or of all photographs in a zip, in place.

    Returns:
        True if the file was written anew.

    Raises:
        OSError: it can't be read or written.
    """
    return _strip_zip(path) if is_zip(path) else strip_file(path)


def _strip_zip(path: Path) -> bool:
    """Write a zip anew. What would be refused later keeps its entry, so that it is named, but not its content."""
    try:
        archive = open_zip(path)
    except BadPhoto:
        return False
    beside = path.with_name(f".bare-{os.getpid()}-{path.name[-100:]}")
    try:
        with archive:
            whole = _write_bare(archive, path, beside)
        if whole:
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return whole


def _write_bare(archive: zipfile.ZipFile, path: Path, beside: Path) -> bool:
    """Write the zip at ``path`` without metadata to ``beside``. Return False for one that isn't of photographs."""
    kinds = [_kind(archive, info) for info in archive.infolist()]
    if "" not in kinds or any(name.endswith(_WEIGHTS) for name in archive.namelist()):
        return False
    allowance = path.stat().st_size * MOST_GROWTH + SPARE_BYTES
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".bare-") as folder,
        zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bare,
    ):
        for info, kind in zip(archive.infolist(), kinds, strict=True):
            # A name that begins with a zero byte is none.
            if info.filename:
                member = Path(folder) / "member"
                allowance -= _content(archive, info, kind, member, allowance)
                _add(bare, info, member, stored=kind == "")
    return True


def _kind(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    """The kind as :func:`kind_by` tells it, "hidden" for folders and what macOS adds.

    Other hidden folders may be those of an exported dataset.
    """
    parts = PurePosixPath(name_in_zip(info)).parts
    if not parts or info.is_dir() or "__MACOSX" in parts or parts[-1].startswith("._"):
        return "hidden"
    if not kind_by(parts[-1], b""):
        return ""
    return kind_by(parts[-1], _head(archive, info, HEAD_BYTES))


def _head(archive: zipfile.ZipFile, info: zipfile.ZipInfo, count: int) -> bytes:
    try:
        with archive.open(info) as content:
            return content.read(count)
    except (*BROKEN, RuntimeError):
        return b""


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, kind: str, member: Path, allowance: int) -> int:
    """Write what is kept of a member into a file. Return how many bytes were unpacked."""
    member.write_bytes(b"")
    if kind == "hidden" or why_not(info, info.filename):
        return 0
    words = kind == "silent" and info.filename.lower().endswith(_READ) and info.file_size <= _WORDS_BYTES
    if kind and not words:
        member.write_bytes(b"" if kind == "silent" else _head(archive, info, HEAD_KEPT_BYTES))
        return 0
    reason, written = extract(archive, info, member, info.filename, allowance)
    if reason:
        member.write_bytes(_head(archive, info, HEAD_KEPT_BYTES))
    elif not words:
        strip_file(member)
    return written


def _add(bare: zipfile.ZipFile, info: zipfile.ZipInfo, member: Path, stored: bool) -> None:
    """Add a member under its own name. A directory's entry says of it what the old one said: why it isn't read."""
    entry = zipfile.ZipInfo(name_in_zip(info))
    entry.external_attr = info.external_attr if why_not(info, "") else _PLAIN
    entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    if info.is_dir():
        bare.writestr(entry, b"")
        return
    with (
        member.open("rb") as source,
        bare.open(entry, "w", force_zip64=member.stat().st_size > 2**31) as file,
    ):
        while chunk := source.read(1 << 20):
            file.write(chunk)
    if why_not(info, ""):
        # The directory is written at the end, from these.
        entry.compress_type = info.compress_type
        entry.flag_bits |= info.flag_bits & 1
