"""A HEIC file without its metadata, its picture untouched: nothing is decoded and nothing moves.

Boxes: ISO/IEC 14496-12; items: ISO/IEC 23008-12 (HEIF). What an item that is no picture holds (EXIF with GPS and maker
notes, XMP) is overwritten where it lies. Its orientation is a property of the picture and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_PICTURES = {
    b"hvc1",
    b"hev1",
    b"lhv1",
    b"vvc1",
    b"av01",
    b"avc1",
    b"jpeg",
    b"j2k1",
    b"grid",
    b"iden",
    b"iovl",
    b"tmap",
    b"unci",
}
_KEPT = {b"ftyp", b"meta", b"mdat"}
"""Boxes of a still picture. Others are films, or a program's own."""
_EMPTY_EXIF = b"\0\0\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"


class _Box(NamedTuple):
    """Kind, start of the box, and start and end of its content, in bytes of the file."""

    kind: bytes
    start: int
    begin: int
    end: int


class _Reader:
    """Reads numbers one after the other. A number behind the end is a ValueError."""

    def __init__(self, data: bytes | bytearray, position: int, end: int) -> None:
        self._data, self.position, self._end = data, position, end

    def number(self, size: int) -> int:
        """Return the next number of ``size`` bytes, 0 of none."""
        begin, self.position = self.position, self.position + size
        if self.position > self._end:
            raise ValueError("a box breaks off")
        return int.from_bytes(self._data[begin : self.position], "big")


def without_metadata(data: bytes) -> bytes:
    """The same picture without EXIF, XMP, films and other programs' boxes. The length stays.

    Raises:
        ValueError: its boxes or items can't be followed.
    """
    bare = bytearray(data)
    boxes = list(_boxes(bare, 0, len(bare)))
    meta = next((box for box in boxes if box.kind == b"meta"), None)
    if meta is None:
        raise ValueError("it has no items")
    inside = {box.kind: box for box in _boxes(bare, meta.begin + 4, meta.end)}
    if not {b"iinf", b"iloc"} <= inside.keys():
        raise ValueError("it has no items")
    kinds = _kinds(bare, inside[b"iinf"])
    for item, begin, end in _places(bare, inside):
        if kinds.get(item) not in _PICTURES:
            if end > len(bare):
                raise ValueError("an item lies behind the end")
            empty = _EMPTY_EXIF if kinds.get(item) == b"Exif" else b""
            bare[begin:end] = empty.ljust(end - begin, b"\0")[: end - begin]
    for box in boxes:
        if box.kind not in _KEPT:
            bare[box.start + 4 : box.start + 8] = b"free"
            bare[box.begin : box.end] = bytes(box.end - box.begin)
    return bytes(bare)


def _boxes(data: bytearray, position: int, end: int) -> Iterator[_Box]:
    while position < end:
        read = _Reader(data, position, end)
        size = read.number(4)
        kind = read.number(4).to_bytes(4, "big")
        if size == 1:
            size = read.number(8)
        close = position + size if size else end
        if close > end or close < read.position:
            raise ValueError("a box is longer than the file")
        yield _Box(kind, position, read.position, close)
        position = close


def _kinds(data: bytearray, iinf: _Box) -> dict[int, bytes]:
    """Return each item's kind by its number."""
    read = _Reader(data, iinf.begin, iinf.end)
    version = read.number(4) >> 24
    read.number(4 if version else 2)
    kinds = {}
    for box in _boxes(data, read.position, iinf.end):
        entry = _Reader(data, box.begin, box.end)
        version = entry.number(4) >> 24
        if version not in (2, 3):
            raise ValueError("an item has no kind")
        item, _ = entry.number(4 if version == 3 else 2), entry.number(2)
        kinds[item] = entry.number(4).to_bytes(4, "big")
    return kinds


def _places(data: bytearray, inside: dict[bytes, _Box]) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of each part of each item."""
    iloc = inside[b"iloc"]
    read = _Reader(data, iloc.begin, iloc.end)
    version = read.number(4) >> 24
    sizes, more = read.number(1), read.number(1)
    wide = 4 if version == 2 else 2
    for _ in range(read.number(wide)):
        item = read.number(wide)
        method = read.number(2) & 15 if version else 0
        read.number(2)
        base = read.number(more >> 4)
        if method == 1:
            base += inside[b"idat"].begin if b"idat" in inside else len(data)
        elif method:
            raise ValueError("an item is made of others' bytes")
        for _ in range(read.number(2)):
            read.number(more & 15 if version else 0)
            begin = base + read.number(sizes >> 4)
            length = read.number(sizes & 15)
            # None would mean the whole file, the picture too.
            if length:
                yield item, begin, begin + length
