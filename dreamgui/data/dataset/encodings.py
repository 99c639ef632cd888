"""The encoding of a text file that doesn't tell it.

UTF-8 and UTF-16 show themselves. The older encodings fit almost any bytes: where foreign letters stand within Latin
words it is CP1252, where all of them make Cyrillic words CP1251, else the one of East Asia's in which most of them are
common signs; between equals the library charset-normalizer chooses. A caption of two or three signs can be guessed
wrong, so whoever reads one tells the guess.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
GUESSED = {
    "cp1251": "CP1251",
    "cp1252": "CP1252",
    "cp932": "Shift-JIS",
    "gbk": "GBK",
    "big5": "Big5",
    "cp949": "EUC-KR",
}
"""Encodings that are guessed, by Python's names, with those that people know."""
_COMMON = {
    "cp932": ({*range(0x81, 0x84), *range(0x88, 0x99)}, 0x40),
    "gbk": ({*range(0xA1, 0xA4), *range(0xB0, 0xD8)}, 0xA1),
    "big5": ({*range(0xA1, 0xC7)}, 0x40),
    "cp949": ({*range(0xA1, 0xA4), *range(0xB0, 0xC9)}, 0xA1),
}
"""East Asia's encodings: first bytes of their punctuation, kana, Hangul and common signs, and the least second byte of these."""
_LEAST_SHARE = 0.75
_LATIN_WORD = re.compile(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]")
_FOREIGN_RUN = re.compile(r"[^\x00-\x7f]+")
_CYRILLIC = r"\u0400-\u045f\u0490\u0491"
_QUOTES = r"\u00ab\u00bb\u2013\u2014\u2018\u2019\u201c-\u201e\u2026\u2116"
_CYRILLIC_RUN = re.compile(f"[{_CYRILLIC}{_QUOTES}]+")
_WIDE_SHARE = 4
"""At least one letter in so many is a space or a Latin one."""


def encoding_of(data: bytes, whole: bool = True) -> tuple[str, int]:
    """Return the encoding of a text by Python's name, and the length of its mark in bytes.

    Args:
        data: the file's bytes.
        whole: whether nothing was cut off; else its last letter may be incomplete.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding, len(mark)
    if wide := _wide(data):
        return wide, 0
    try:
        codecs.utf_8_decode(data, "strict", whole)
    except UnicodeDecodeError:
        return _guess(data), 0
    return "utf-8", 0


def _wide(data: bytes) -> str:
    """UTF-16's name for text that has no mark, or "". Its spaces and Latin letters leave every other byte 0."""
    high = [data[start::2].count(0) for start in (0, 1)]
    for zeros, others, encoding in ((high[1], high[0], "utf-16-le"), (high[0], high[1], "utf-16-be")):
        if len(data) % 2 == 0 and not others and zeros * _WIDE_SHARE >= len(data) // 2:
            return encoding
    return ""


def _guess(data: bytes) -> str:
    """Return one of the older encodings."""
    shares = {name: _common_share(data, name) for name in _COMMON}
    best = max(shares.values())
    within_latin = bool(_LATIN_WORD.search(data))
    if best < _LEAST_SHARE:
        return "cp1252" if within_latin else "cp1251"
    if not within_latin and _cyrillic(data.decode("cp1251", "replace")):
        return "cp1251"
    likely = [name for name, share in shares.items() if share == best]
    if len(likely) == 1:
        return likely[0]
    # Half of Big5's signs end in a byte that the others' common ones never have.
    likely = [name for name in likely if name != "big5"]
    found = from_bytes(data, cp_isolation=likely, steps=1, chunk_size=len(data)).best()
    return found.encoding if found and found.encoding in likely else likely[0]


def _common_share(data: bytes, encoding: str) -> float:
    """Return the share of common signs among those that aren't ASCII, 0 where the bytes aren't of this encoding."""
    try:
        signs = [sign.encode(encoding) for sign in data.decode(encoding) if not sign.isascii()]
    except UnicodeError:
        return 0
    firsts, least = _COMMON[encoding]
    common = [sign for sign in signs if len(sign) == 2 and sign[0] in firsts and sign[1] >= least]
    return len(common) / max(1, len(signs))


def _cyrillic(text: str) -> bool:
    """Return whether all that isn't ASCII makes words as Cyrillic is written: small, capital, or with a capital first."""
    runs = [run[0] for run in _FOREIGN_RUN.finditer(text)]
    words = [word for run in runs for word in re.split(f"[{_QUOTES}]+", run) if word]
    return all(_CYRILLIC_RUN.fullmatch(run) for run in runs) and all(
        word in (word.lower(), word.upper(), word.title()) for word in words
    )
