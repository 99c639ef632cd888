"""A JPEG file without its metadata, its picture untouched: nothing is decoded, so nothing is lost.

Segments: ITU-T T.81 (JPEG), annex B. Kept are those that the picture needs, with the colour profile (APP2 of
the International Color Consortium) and Adobe's colour transform (APP14); all others go, as does whatever
follows the picture: a telephone's second picture, or a film.
"""

from __future__ import annotations

import re

from PIL import Image

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_APP2, _APP14, _COMMENT = 0xE2, 0xEE, 0xFE
_PROFILE = b"ICC_PROFILE\0"
# In a scan's data 0xFF is followed by 0 or a restart marker; anything else ends it.
_SCAN_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")


def without_metadata(data: bytes, orientation: int) -> bytes:
    """The same picture without EXIF, GPS, thumbnails, comments or anything after it.

    Args:
        data: a JPEG file's content.
        orientation: 1..8 as in EXIF; unless 1, it becomes the only metadata of the result.

    Raises:
        ValueError: the file's segments can't be followed, or it breaks off before its end marker.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    parts = [b"\xff\xd8"]
    if orientation != 1:
        exif = Image.Exif()
        exif[274] = orientation
        content = exif.tobytes()
        parts.append(b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content)
    position = 2
    while True:
        marker, begin = _next_marker(data, position)
        if marker == _END:
            return b"".join([*parts, b"\xff\xd9"])
        position = begin + int.from_bytes(data[begin : begin + 2], "big")
        if position < begin + 2 or position > len(data):
            raise ValueError("a segment is longer than the file")
        content = data[begin:position]
        if marker == _SCAN:
            following = _SCAN_END.search(data, position)
            if following is None:
                raise ValueError("the picture breaks off")
            position = following.start()
            content = data[begin:position]
        if _is_needed(marker, content[2:]):
            parts += [bytes((0xFF, marker)), content]


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """The marker that begins here and where its content begins."""
    found = _MARKER.match(data, position)
    if found is None or found[1][0] == _START:
        raise ValueError("no segment where one should begin")
    return found[1][0], found.end()


def _is_needed(marker: int, content: bytes) -> bool:
    if marker == _APP2:
        return content.startswith(_PROFILE)
    application = 0xE0 <= marker <= 0xEF
    return marker != _COMMENT and (not application or marker in (0xE0, _APP14))
