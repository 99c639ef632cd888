"""Text of caption files that any program may have written: the one place where such text is read."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

MAX_CAPTION_BYTES = 1 << 16
"""Longer files are no captions; what follows is not read."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LATIN_WORD = re.compile(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]")


_WIDE_SHARE = 4
"""At least one letter in so many is a space or a Latin one."""


def one_line(text: str) -> str:
    """Text on one line, with single spaces, as captions are saved."""
    return " ".join(text.split())


def decode(data: bytes) -> str:
    """Text of a file in UTF-8, in UTF-16 with or without a byte order mark, in UTF-32 with one, in CP1251 or in CP1252.

    Of the last two, CP1252 is text whose foreign letters stand within Latin words.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _plain(data[len(mark) :].decode(encoding, "replace"))
    if wide := _wide(data):
        return _plain(data.decode(wide, "replace"))
    try:
        # Where a long file was cut off, its last letter may be incomplete.
        return _plain(codecs.utf_8_decode(data, "strict", len(data) < MAX_CAPTION_BYTES)[0])
    except UnicodeDecodeError:
        return _plain(data.decode("cp1252" if _LATIN_WORD.search(data) else "cp1251", "replace"))


def _wide(data: bytes) -> str:
    """UTF-16's name for text that has no mark, or "". Its spaces and Latin letters leave every other byte 0."""
    high = [data[start::2].count(0) for start in (0, 1)]
    for zeros, others, encoding in ((high[1], high[0], "utf-16-le"), (high[0], high[1], "utf-16-be")):
        if len(data) % 2 == 0 and not others and zeros * _WIDE_SHARE >= len(data) // 2:
            return encoding
    return ""


def _plain(text: str) -> str:
    return text.replace("\0", "").replace("\ufeff", "")


def decode_caption(data: bytes) -> str:
    """Caption that a text file holds, on one line, or "" where it has none."""
    return one_line(decode(data[:MAX_CAPTION_BYTES]))


def read_caption(path: Path) -> str | None:
    """Caption of a text file, on one line, or None where the file can't be read."""
    try:
        with path.open("rb") as file:
            return decode_caption(file.read(MAX_CAPTION_BYTES))
    except OSError:
        return None
