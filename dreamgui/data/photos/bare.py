"""Photographs in files lose their metadata. The picture isn't decoded and stays as it is, upright as before."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from dreamgui.data.photos import bare_heif, jpeg
from dreamgui.data.photos.sniff import HEAD_BYTES, sniff

HEAD_KEPT_BYTES = 32
"""What is left of a picture of a kind that isn't read: enough to say which."""
LARGEST_BYTES = 200_000_000
"""A larger file is no photograph that is taken, and isn't read."""
_UNREAD = {"TIFF or camera raw", "TIFF", "AVIF", "GIF", "JPEG 2000", "Photoshop", "video"}
_JPEG_XL = b"\0\0\0\x0cJXL "
"""A bare one, without this head, has no room for metadata, and begins as other files may."""
_ORIENTATION = 274
_BROKEN = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, KeyError, IndexError, TypeError, OverflowError,
    Image.DecompressionBombError,
)  # fmt: skip
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"pHYs",
    b"bKGD", b"acTL", b"fcTL", b"fdAT",
}  # fmt: skip
_PNG_TEXTS = (b"parameters\0", b"dreamgui\0", b"face_share\0")
"""Texts of pictures that were generated: their settings can be read again."""
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
_WEBP_METADATA_BITS = 0x0C


def strip_file(path: Path) -> bool:
    """Remove metadata of a JPEG, PNG, WebP or HEIC file, but its orientation, in place.

    Of pictures that aren't read anyway only the first bytes stay. Files that are no pictures and files whose parts
    can't be followed stay as they are.

    Returns:
        True if the file was written anew.

    Raises:
        OSError: it can't be read or written.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind = sniff(head)
    if kind in _UNREAD or head.startswith(_JPEG_XL):
        bare = head[:HEAD_KEPT_BYTES]
    elif kind in _STRIPPED and path.stat().st_size <= LARGEST_BYTES:
        try:
            bare = _STRIPPED[kind](path.read_bytes(), _orientation(path))
        except ValueError:
            return False
    else:
        return False
    beside = path.with_name(f".bare-{os.getpid()}-{path.name[-100:]}")
    try:
        beside.write_bytes(bare)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return True


def _orientation(path: Path) -> int:
    """Return EXIF's orientation, 1..8. Broken EXIF counts as upright."""
    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
            value = int(image.getexif().get(_ORIENTATION, 1))
    except _BROKEN:
        return 1
    return value if 1 <= value <= 8 else 1


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


def _png(data: bytes, orientation: int) -> bytes:
    parts = [_PNG_HEAD]
    for kind, whole in _chunks(data, len(_PNG_HEAD), "big"):
        text = kind in (b"tEXt", b"iTXt", b"zTXt") and whole[8:].startswith(_PNG_TEXTS)
        if kind == b"IDAT" and orientation != 1:
            parts.append(_png_exif(orientation))
            orientation = 1
        if kind in _PNG_KEPT or text:
            parts.append(whole)
        if kind == b"IEND":
            return b"".join(parts)
    raise ValueError("the picture breaks off")


def _png_exif(orientation: int) -> bytes:
    content = b"eXIf" + _exif(orientation)
    return (len(content) - 4).to_bytes(4, "big") + content + zlib.crc32(content).to_bytes(4, "big")


def _webp(data: bytes, orientation: int) -> bytes:
    parts = []
    for kind, whole in _chunks(data[: 8 + int.from_bytes(data[4:8], "little")], 12, "little"):
        if kind == b"VP8X" and len(whole) > 8:
            flags = whole[8] & ~_WEBP_METADATA_BITS | (0x08 if orientation != 1 else 0)
            whole = whole[:8] + bytes([flags]) + whole[9:]
        if kind in _WEBP_KEPT:
            parts.append(whole)
    if orientation != 1:
        content = _exif(orientation)
        parts.append(b"EXIF" + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2))
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _heif(data: bytes, _: int) -> bytes:
    # Its orientation is no metadata, but a property of the picture.
    return bare_heif.without_metadata(data)


_STRIPPED = {"JPEG": jpeg.without_metadata, "PNG": _png, "WEBP": _webp, "HEIF": _heif}


def _chunks(data: bytes, position: int, order: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and all bytes of each chunk of a PNG (big) or a WebP (little).

    Raises:
        ValueError: one is longer than the file.
    """
    while position < len(data):
        if order == "big":
            kind, size = (
                data[position + 4 : position + 8],
                int.from_bytes(data[position : position + 4], "big"),
            )
            end = position + 12 + size
        else:
            kind, size = (
                data[position : position + 4],
                int.from_bytes(data[position + 4 : position + 8], "little"),
            )
            end = position + 8 + size + size % 2
        if end > len(data) + (order == "little"):
            raise ValueError("a chunk is longer than the file")
        yield kind, data[position:end]
        position = end
