"""Memory and time that decoding a photograph takes, told from its header: a small file can ask for a lot of both.

A progressive JPEG is gone through once a scan, and all of its coefficients are in memory meanwhile. Other formats
unpack to many times their size. What would cost too much is refused before anything is decoded.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

from PIL import Image

from dreamgui.errors import BadPhoto
from dreamgui.sizes import file_size

MAX_DECODED_BYTES = 300_000_000
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 500_000_000
"""Pixels times scans: a progressive JPEG of 48 megapixels has 10 scans."""
_PIXEL_BYTES = 4
_COEFFICIENT_BYTES = 2
# Measured: the picture, another one while colours are converted, and the decoder's own copies.
_BYTES_A_PIXEL = {"PNG": 10, "WEBP": 16, "HEIF": 12}
_SCAN = b"\xff\xda"


def check_cost(path: Path, image: Any, kind: str, name: str) -> None:
    """Refuse a photograph whose pixels can't be had for 300 MB of memory, or in a few seconds.

    Args:
        path: the file.
        image: the photograph as Pillow opened it; nothing is decoded yet.
        kind: its format by Pillow's name.
        name: the photograph's name in the error.

    Raises:
        BadPhoto: it costs more.
    """
    pixels = image.width * image.height
    scans = _scans(path) if kind == "JPEG" else 1
    if scans > MAX_SCANS or (scans > 1 and scans * pixels > MAX_SCANNED_PIXELS):
        raise BadPhoto(
            f"{name} is a JPEG of {_number(scans)} scans at {pixels / 1e6:.0f} megapixels, which takes too long to read.",
            "Save it again as a plain JPEG (not progressive).",
        )
    need = decoded_bytes(image, kind, scans)
    if need > MAX_DECODED_BYTES:
        raise BadPhoto(
            f"{name} has {image.width} x {image.height} pixels ({pixels / 1e6:.0f} megapixels) and would take "
            f"{file_size(need)} of memory as a {_in_words(kind, scans)}; the limit is {file_size(MAX_DECODED_BYTES)}.",
            "Save it smaller, or as a plain JPEG.",
        )


def decoded_bytes(image: Any, kind: str, scans: int = 1) -> int:
    """Return the memory in bytes that decoding takes at its peak, by the header's size and channels."""
    pixels = image.width * image.height
    if kind != "JPEG":
        return pixels * _BYTES_A_PIXEL.get(kind, 12)
    colours = 2 if image.mode == "CMYK" else 1
    return pixels * _PIXEL_BYTES * colours + (_coefficient_bytes(image) if scans > 1 else 0)


def smaller_parts(image: Image.Image, kind: str) -> int:
    """Return the part (1, 2, 4 or 8) of its sides at which a decoded JPEG and a converted copy of it fit the memory,
    or 1 for other formats, which can't be decoded smaller."""
    pixels = image.width * image.height
    fits = (part for part in (1, 2, 4) if 2 * _PIXEL_BYTES * pixels // part**2 <= MAX_DECODED_BYTES)
    return next(fits, 8) if kind == "JPEG" else 1


def _coefficient_bytes(image: Any) -> int:
    """Return the memory of all coefficients, which a JPEG of several scans keeps until its last one."""
    samples = [across * down for _, across, down, _ in image.layer]
    widest = max((across for _, across, _, _ in image.layer), default=1) * max(
        (down for _, _, down, _ in image.layer), default=1
    )
    return image.width * image.height * _COEFFICIENT_BYTES * sum(samples) // max(1, widest)


def _scans(path: Path) -> int:
    """Return how often a scan begins in a JPEG. In a scan's numbers 0xFF is never followed by that mark."""
    found, at = 0, -1
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while found <= MAX_SCANS and (at := content.find(_SCAN, at + 1)) >= 0:
            found += 1
    return found


def _in_words(kind: str, scans: int) -> str:
    return "progressive JPEG" if scans > 1 else kind


def _number(scans: int) -> str:
    return f"more than {MAX_SCANS}" if scans > MAX_SCANS else str(scans)
