"""Texts in a picture's file: two in a PNG of ours, "parameters" for other programs and "dreamgui", our own JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from dreamgui.errors import BadPhoto

PARAMETERS, OURS = "parameters", "dreamgui"
MOST_CHARACTERS = 1_000_000
_MOST_BYTES, _MOST_PIXELS = 200_000_000, 100_000_000
_FORMATS = ("PNG", "JPEG", "WEBP")
_USER_COMMENT, _EXIF_IFD = 0x9286, 0x8769
_PREFIX_BYTES = 8
_BROKEN = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, KeyError, IndexError, TypeError, OverflowError,
    Image.DecompressionBombError,
)  # fmt: skip
_INSTEAD = "Choose a PNG, JPEG or WebP file as DreamGUI or A1111 wrote it."


def png_bytes(image: Image.Image, parameters: str, own: Mapping[str, Any]) -> bytes:
    """Return a picture as an RGB PNG file with both texts and no other metadata.

    Args:
        parameters: text for other programs, as Latin-1 in tEXt where it can be, else as UTF-8 in iTXt; a NUL and half
            a surrogate pair, which no PNG can hold, become "?".
        own: our data; must be writable as JSON.
    """
    info = PngInfo()
    info.add_text(PARAMETERS, parameters.replace("\0", "?").encode("utf-8", "replace").decode())
    info.add_text(OURS, json.dumps(own))
    pixels = image.convert("RGB")
    if pixels is image:
        pixels = image.copy()
    pixels.info = {}
    buffer = BytesIO()
    pixels.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def texts_of(path: Path) -> tuple[str, str]:
    """Return the texts "parameters" and "dreamgui" of a file, or "" for one that it lacks.

    "parameters" of a JPEG or WebP is its EXIF user comment. Pixels are decoded only where a PNG's texts lie behind them.

    Raises:
        BadPhoto: the file is missing, no PNG, JPEG or WebP, damaged, larger than 200 MB or 100 megapixels, or a text
            has more than 1,000,000 characters.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _unreadable(path, f"it has more than {_MOST_BYTES // 1_000_000} MB")
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise _unreadable(path, f"it has more than {_MOST_PIXELS // 1_000_000} megapixels")
            if image.format == "PNG" and PARAMETERS not in image.info:
                image.load()
            texts = image.info.get(PARAMETERS) or _user_comment(image), image.info.get(OURS, "")
    except _BROKEN as error:
        raise _unreadable(path, _reason(error)) from error
    for text in texts:
        if len(text) > MOST_CHARACTERS:
            raise _unreadable(path, f"a text in it has more than {MOST_CHARACTERS:,} characters")
    return str(texts[0]), str(texts[1])


def _unreadable(path: Path, reason: str) -> BadPhoto:
    return BadPhoto(f"{path.name} can't be read as a picture with its settings: {reason}.", _INSTEAD)


def _reason(error: BaseException) -> str:
    """The reason in words, without the file's place on this computer."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return "it is no PNG, JPEG or WebP, or its beginning is damaged"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


def _user_comment(image: Image.Image) -> str:
    """The text in a picture's EXIF, where A1111 writes it, or "" where there is none."""
    comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    if not isinstance(comment, bytes):
        return str(comment)
    prefix, text = comment[:_PREFIX_BYTES], comment[_PREFIX_BYTES:]
    if prefix == b"UNICODE\0":
        return text.decode(_utf_16(text), "replace")
    if prefix in {b"ASCII\0\0\0", bytes(_PREFIX_BYTES)}:
        return text.decode("utf-8", "replace")
    return ""


def _utf_16(text: bytes) -> str:
    """The byte order: A1111 writes high bytes first. Other programs write a mark, or the low byte first."""
    if text[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "utf-16"
    return "utf-16-be" if text[::2].count(0) >= text[1::2].count(0) else "utf-16-le"
