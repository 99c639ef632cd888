"""Names in zips that were packed by programs which don't say how they write letters.

A zip's directory marks names in UTF-8 by a flag; without it the packer's own code page was taken: CP866 by
Windows in Russian, GBK in Chinese, and Python reads CP437.
"""

from __future__ import annotations

import re
import zipfile

_UTF8_FLAG = 0x800
_MIXED = re.compile(r"[A-Za-z][\u0400-\u04ff]|[\u0400-\u04ff][A-Za-z]")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]+")
_CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]+")
_FOREIGN = re.compile(r"[^\x00-\x7f]+")


def name_in_zip(info: zipfile.ZipInfo) -> str:
    """The member's name with "/" between folders: as its flag says, else the likeliest of UTF-8, CP866, GBK and
    CP437."""
    return _decoded(info).replace("\\", "/")


def _decoded(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & _UTF8_FLAG or info.filename.isascii():
        return info.filename
    raw = info.filename.encode("cp437")
    for encoding, letters in (("utf-8", _FOREIGN), ("cp866", _CYRILLIC), ("gbk", _CHINESE)):
        try:
            name = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if all(letters.fullmatch(run) for run in _FOREIGN.findall(name)) and not _MIXED.search(name):
            return name
    return info.filename
