"""Text of caption files that any program may have written: the one place where such text is read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dreamgui.data.dataset.encodings import GUESSED, encoding_of

MAX_CAPTION_BYTES = 1 << 16
"""Longer files are no captions; what follows is not read."""


class Caption(NamedTuple):
    """A caption on one line, "" where the file has none, and its encoding's name where that was guessed, else ""."""

    text: str
    guessed: str = ""


def one_line(text: str) -> str:
    """Text on one line, with single spaces, as captions are saved."""
    return " ".join(text.split())


def decode(data: bytes) -> str:
    """Text of a file in UTF-8, UTF-16, UTF-32 or one of the older encodings."""
    return _decoded(data)[0]


def _decoded(data: bytes) -> tuple[str, str]:
    """The text, and Python's name of its encoding."""
    whole = len(data) < MAX_CAPTION_BYTES
    encoding, mark = encoding_of(data, whole)
    # Where a long file was cut off, its last letter may be incomplete.
    return _plain(data[mark:].decode(encoding, "replace" if whole else "ignore")), encoding


def _plain(text: str) -> str:
    return text.replace("\0", "").replace("\ufeff", "")


def decode_caption(data: bytes) -> Caption:
    """Caption that a text file holds."""
    text, encoding = _decoded(data[:MAX_CAPTION_BYTES])
    return Caption(one_line(text), GUESSED.get(encoding, ""))


def read_caption(path: Path) -> Caption | None:
    """Caption of a text file, or None where the file can't be read."""
    try:
        with path.open("rb") as file:
            return decode_caption(file.read(MAX_CAPTION_BYTES))
    except OSError:
        return None
