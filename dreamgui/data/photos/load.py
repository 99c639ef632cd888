"""Photographs from the disk: checked before they are decoded, turned upright, freed of metadata."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from dreamgui.data.photos.colours import to_rgb
from dreamgui.data.photos.cost import check_cost, smaller_parts
from dreamgui.data.photos.png_colours import cicp, hdr_curve
from dreamgui.data.photos.sniff import HEAD_BYTES, sniff
from dreamgui.errors import BadPhoto
from dreamgui.sizes import file_size

MAX_PIXELS = 100_000_000
MAX_SIDE_PX = 20_000
MAX_FILE_BYTES = 200_000_000
MAX_PHOTOS = 2_000

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .webp .heic .heif .avif .gif .tif .tiff .bmp .jp2 .jxl".split()  # noqa: SIM905
)
_ARCHIVES = ("rar", "7z", "tar", "gzip")
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error)
UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def shown_name(path: Path) -> str:
    """The file's name as it can be shown and saved: one line of valid text of at most 120 letters."""
    text = path.name.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:120]


def load_image(path: Path) -> Image.Image:
    """A photograph, upright, in RGB with 8 bits a channel and sRGB colours, without any metadata.

    Reads JPEG, PNG, WebP, and HEIC where pillow-heif is installed, recognised by content. Transparent parts
    become white.

    Raises:
        BadPhoto: the file is missing, of another format, damaged, or larger than 100 megapixels, 20,000
            pixels a side or 200 MB, or decoding it takes more than 300 MB of memory (30 megapixels for what
            isn't a JPEG) or hundreds of scans. Sizes are read from the header, before anything is decoded.
    """
    return load_view(path).image


class View(NamedTuple):
    """A photograph as :func:`load_image` gives it, perhaps smaller. ``size`` is its own width and height."""

    image: Image.Image
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Return how many pixels of the photograph a pixel of the view stands for, 1 or more."""
        return self.size[0] / self.image.width


def load_view(path: Path, view_px: int | None = None, name: str = "") -> View:
    """A photograph for looking at. A JPEG that takes more than 300 MB in full is decoded smaller.

    Args:
        path: the file.
        view_px: the longer side may be as small as this: a JPEG is then decoded at a half, a quarter or an
            eighth of its size, which saves most of the time and memory.
        name: what to call it in errors; the file's own name unless given.

    Raises:
        BadPhoto: as :func:`load_image`.
    """
    name = name or shown_name(path)
    try:
        return _load(path, name, view_px)
    except _DECODE_ERRORS as error:
        raise _unreadable(name, error) from error


class ImageHeader(NamedTuple):
    """Header of a photograph: Pillow's name of its format, stored width and height, and EXIF
    orientation (1..8)."""

    kind: str
    size: tuple[int, int]
    orientation: int


def read_header(path: Path, name: str = "") -> ImageHeader:
    """The header of a photograph, nothing decoded yet.

    Raises:
        BadPhoto: as :func:`load_image`, but for damage further on.
    """
    name = name or shown_name(path)
    try:
        with _opened(path, name) as (image, kind):
            return ImageHeader(kind, image.size, _orientation(image))
    except _DECODE_ERRORS as error:
        raise _unreadable(name, error) from error


@contextmanager
def _opened(path: Path, name: str) -> Iterator[tuple[Image.Image, str]]:
    _check_file(path, name)
    with path.open("rb") as file:
        kind = _readable_kind(file.read(HEAD_BYTES), name)
        file.seek(0)
        # Image.open refuses bombs without telling their size; here the format's reader reads the header.
        image: Image.Image = Image.OPEN[kind][0](file, name)
        _check_size(image.size, name)
        check_cost(path, image, kind, name)
        if kind == "PNG" and (declared := cicp(file)):
            if curve := hdr_curve(declared):
                raise BadPhoto(
                    f"{name} is a picture of high dynamic range ({curve}), whose colours aren't read.",
                    "Save it as a JPEG in standard range.",
                )
            image.info["cicp"] = declared
        yield image, kind


def _load(path: Path, name: str, view_px: int | None) -> View:
    with _opened(path, name) as (image, kind):
        size, orientation = image.size, _orientation(image)
        _decode(image, kind, view_px or max(size) // smaller_parts(image, kind))
        turn = UPRIGHT.get(orientation)
        rgb = to_rgb(image)
        # Its pixels aren't needed any more, and the turn needs as many.
        image.close()
        if turn is not None:
            rgb = rgb.transpose(turn)
    return View(rgb, (size[1], size[0]) if orientation >= 5 else size)


def _decode(image: Image.Image, kind: str, view_px: float | None) -> None:
    if kind == "JPEG" and view_px:
        width, height = image.size
        parts = max(part for part in (1, 2, 4, 8) if part == 1 or max(image.size) // part >= view_px)
        image.draft(None, (width // parts, height // parts))
    image.load()


def load_square(path: Path, box: tuple[int, int, int, int], size_px: int) -> Image.Image:
    """A square of a photograph at ``size_px`` a side, by Lanczos, as if cut out of :func:`load_image`.

    The square is cut out first and turned upright then; a large JPEG is decoded at a part of its size that
    still has as many pixels as the square.

    Args:
        path: the file.
        box: x0, y0, x1, y1 in pixels of the whole, upright photograph.
        size_px: side of the result.

    Raises:
        BadPhoto: as :func:`load_image`.
        ValueError: the box isn't square or leaves the photograph: nothing is ever padded or stretched.
    """
    name = shown_name(path)
    try:
        with _opened(path, name) as (image, kind):
            stored, orientation = image.size, _orientation(image)
            x0, y0, x1, y1 = _in_file(box, stored, orientation)
            if x1 - x0 != y1 - y0 or min(x0, y0) < 0 or x1 > stored[0] or y1 > stored[1]:
                raise _NoSquareError(f"{box} is no square inside {stored}")
            _decode(image, kind, max(stored) * size_px / (x1 - x0))
            across, down = (part / whole for part, whole in zip(image.size, stored, strict=True))
            picture = image if image.mode in ("RGB", "L") else to_rgb(image)
            square = picture.resize(
                (size_px, size_px),
                Image.Resampling.LANCZOS,
                box=(x0 * across, y0 * down, x1 * across, y1 * down),
                reducing_gap=3.0,
            )
            turn = UPRIGHT.get(orientation)
            return to_rgb(square if turn is None else square.transpose(turn))
    except _NoSquareError as error:
        raise ValueError(str(error)) from error
    except _DECODE_ERRORS as error:
        raise _unreadable(name, error) from error


class _NoSquareError(Exception):
    pass


def _in_file(
    box: tuple[int, int, int, int], stored: tuple[int, int], orientation: int
) -> tuple[int, int, int, int]:
    """Return where a box of the upright photograph lies in the photograph as it is stored."""
    x0, y0, x1, y1 = box
    if orientation >= 5:
        x0, y0, x1, y1 = y0, x0, y1, x1
    width, height = stored
    if orientation in (2, 3, 7, 8):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):
        y0, y1 = height - y1, height - y0
    return x0, y0, x1, y1


def _unreadable(name: str, error: Exception) -> BadPhoto:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return BadPhoto(f"{name} can't be read: {reason[:200]}.", "Copy it again or leave it out.")


def _check_file(path: Path, name: str) -> None:
    if not path.is_file():
        raise BadPhoto(f"{name} isn't there or is no file.", "Choose the photograph again.")
    size_bytes = path.stat().st_size
    if size_bytes > MAX_FILE_BYTES:
        raise BadPhoto(
            f"{name} has {file_size(size_bytes)}; the limit is {file_size(MAX_FILE_BYTES)}.",
            "Save it smaller.",
        )


@cache
def _readable() -> frozenset[str]:
    """Formats that this installation reads."""
    Image.init()
    if find_spec("pillow_heif") is None:
        return frozenset({"JPEG", "PNG", "WEBP"})
    from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]

    register_heif_opener(thumbnails=False)
    return frozenset({"JPEG", "PNG", "WEBP", "HEIF"})


def _readable_kind(head: bytes, name: str) -> str:
    kind = sniff(head)
    if kind in _readable():
        return kind
    if kind == "HEIF":
        raise BadPhoto(
            f"{name} is a HEIC photograph, and pillow-heif isn't installed.",
            "Install it (pip install pillow-heif), or save the photograph as a JPEG.",
        )
    if kind in _ARCHIVES:
        raise BadPhoto(f"{name} is a {kind} archive, which isn't read.", "Unpack it, or pack a zip.")
    what = {"empty": "an empty file", "text": "plain text", "": "no picture format that we know"}
    article = "an" if kind.startswith("A") else "a"
    raise BadPhoto(
        f"{name} is {what.get(kind, f'{article} {kind} file')}; JPEG, PNG and WebP can be read.",
        "Save it as a JPEG first.",
    )


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS or max(size) > MAX_SIDE_PX:
        raise BadPhoto(
            f"{name} has {width} x {height} pixels ({width * height / 1e6:.0f} megapixels); the limit is "
            f"{MAX_PIXELS / 1e6:.0f} megapixels and {MAX_SIDE_PX:,} pixels a side.",
            "Save it smaller.",
        )


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8, also where a program stored it as a byte or as text. Broken EXIF counts as upright."""
    try:
        value = image.getexif().get(274, 1)
        value = value[0] if isinstance(value, bytes) else int(value)
    except (*_DECODE_ERRORS, TypeError, KeyError, IndexError, ValueError):
        return 1
    return value if value in UPRIGHT else 1


def photo_bytes(image: Image.Image, lossless: bool) -> bytes:
    """The photograph as a file's content: PNG where lossless, else JPEG of quality 95. It has no metadata."""
    buffer = io.BytesIO()
    clean = image.copy() if image.info else image
    clean.info.clear()
    if lossless:
        clean.save(buffer, "PNG", compress_level=2)
    else:
        clean.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
