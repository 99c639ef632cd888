"""A colour profile for what a PNG says of its colours in words of its own: cICP, or gAMA with cHRM.

PNG specification, third edition, 11.3.2; code points of cICP: ITU-T H.273, tables 2 and 3. The profile is
one of matrix and curve as the ICC's specification (ICC.1:2022, 10.6, 10.18) has it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np

_SIGNATURE_BYTES = 8
_CHUNKS_READ = 64
_RGB, _FULL_RANGE = 0, 1
Points = tuple[tuple[float, float], ...]
"""White, red, green and blue: x and y each."""
_D65 = (0.3127, 0.3290)
_SRGB: Points = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_PRIMARIES: dict[int, Points] = {
    1: _SRGB,
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: (_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: (_D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: (_D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_VIDEO_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES: dict[int, tuple[float, ...]] = {
    **dict.fromkeys((1, 6, 14, 15), _VIDEO_CURVE),
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    13: _SRGB_CURVE,
}
_HDR_CURVES = {16: "PQ", 18: "HLG"}
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def cicp(file: IO[bytes]) -> bytes:
    """The four bytes of a PNG's cICP chunk, which Pillow passes over, or nothing where there is none."""
    return next((content for kind, content in _chunks(file) if kind == b"cICP"), b"")


def hdr_curve(declared: bytes) -> str:
    """Return the name of a cICP chunk's curve for high dynamic range, or "" for another one."""
    return _HDR_CURVES.get(declared[1], "") if len(declared) > 1 else ""


def profile(info: Mapping[Any, Any], grey: bool) -> bytes | None:
    """An ICC profile of the colours that a PNG declares.

    Args:
        info: Pillow's words on the picture, with "cicp" from :func:`cicp`.
        grey: whether the picture has one channel; its primaries don't count then.

    Returns:
        The iCCP chunk's profile unless cICP stands above it. None where nothing is declared, where "sRGB" is,
        or where the declaration can't be followed (a brightness curve of no positive power).
    """
    primaries, curve, matrix, full_range = (*info.get("cicp", b""), *bytes(4))[:4]
    if primaries in _PRIMARIES and curve in _CURVES and (matrix, full_range) == (_RGB, _FULL_RANGE):
        return _icc(_PRIMARIES[primaries], _CURVES[curve], grey)
    if embedded := info.get("icc_profile"):
        return embedded
    gamma = info.get("gamma")
    if "srgb" in info or not gamma:
        return None
    # 1/2.2 is what programs write for sRGB, whose curve isn't one power.
    curve_of = _SRGB_CURVE if abs(gamma - 0.45455) < 0.001 else (1 / gamma,)
    points = info.get("chromaticity") or [value for point in _SRGB for value in point]
    return _icc(tuple(zip(points[::2], points[1::2], strict=True)), curve_of, grey)


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The small chunks before the picture. The file stands where it stood afterwards."""
    place = file.tell()
    file.seek(_SIGNATURE_BYTES)
    for _ in range(_CHUNKS_READ):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IDAT":
            break
        length = int.from_bytes(head[:4], "big")
        if length <= 4:
            yield head[4:], file.read(length)
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)
    file.seek(place)


def _icc(points: Points, curve: tuple[float, ...], grey: bool) -> bytes | None:
    try:
        matrix = _to_d50(points)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 4 or not 0.1 < curve[0] < 10:
        return None
    kind = 0 if len(curve) == 1 else 3
    shape = struct.pack(">4s4xHH", b"para", kind, 0) + _fixed(curve)
    tags = {b"desc": _text("PNG"), b"wtpt": _xyz(_D50), b"cprt": b"text\0\0\0\0none\0"}
    if grey:
        return _assembled(b"GRAY", tags | {b"kTRC": shape})
    colours = {name + b"XYZ": _xyz(matrix[:, index]) for index, name in enumerate((b"r", b"g", b"b"))}
    return _assembled(b"RGB ", tags | colours | {name + b"TRC": shape for name in (b"r", b"g", b"b")})


def _to_d50(points: Points) -> np.ndarray:
    """Linear RGB to XYZ of the profile connection space, white adapted by Bradford's matrix, [3, 3]."""
    white, *rgb = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in points)
    columns = np.array(rgb).T
    columns = columns * np.linalg.solve(columns, white)
    adapted = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.linalg.inv(_BRADFORD) @ adapted @ _BRADFORD @ columns


def _assembled(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """Header (128 bytes), table of tags, and the tags' contents."""
    table, body, begin = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, begin + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12x4s28x", begin + len(body), b"", 0x02400000, b"mntr", space, b"XYZ ", b"acsp"
    )
    return (head + _fixed(_D50)).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _fixed(values: tuple[float, ...] | np.ndarray) -> bytes:
    """Numbers as s15Fixed16, big end first."""
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _text(text: str) -> bytes:
    content = text.encode() + b"\0"
    return struct.pack(">4s4xI", b"desc", len(content)) + content + bytes(78)
