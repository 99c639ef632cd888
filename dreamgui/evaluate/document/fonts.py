"""Text in pictures: each letter in the first font at hand that has it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
NAMES = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "arial.ttf", "Arial.ttf",
    "NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "DroidSansFallbackFull.ttf", "wqy-zenhei.ttc",
    "msyh.ttc", "msgothic.ttc", "malgun.ttf",
    "PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "Arial Unicode.ttf",
)  # fmt: skip
"""Fonts of Linux, Windows and macOS behind Pillow's own: European scripts first, then Chinese, Japanese, Korean."""
_NO_LETTER = "\uffff"


@cache
def fonts(size_px: int) -> tuple[Font, ...]:
    """Pillow's own font, then those of :data:`NAMES` that Pillow finds in the system's folders."""
    found: list[Font] = [ImageFont.load_default(size_px)]
    for name in NAMES:
        try:
            found.append(ImageFont.truetype(name, size_px))
        except OSError:
            continue
    return tuple(found)


def pieces(text: str, size_px: int) -> Iterator[tuple[str, Font]]:
    """The text in parts of one font each."""
    for font, letters in groupby(text, lambda letter: _font_of(letter, size_px)):
        yield "".join(letters), font


def length(text: str, size_px: int) -> float:
    """The text's width in pixels."""
    return sum(font.getlength(part) for part, font in pieces(text, size_px))


def write(
    pen: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, ink: tuple[int, int, int], size_px: int
) -> None:
    """Write one line with its top left at ``corner``."""
    x, baseline = corner[0], corner[1] + size_px
    for part, font in pieces(text, size_px):
        pen.text((x, baseline), part, ink, font, anchor="ls")
        x += font.getlength(part)


def missing(text: str) -> str:
    """The letters that no font at hand has, each once."""
    return "".join(dict.fromkeys(c for c in text if not any(_has(font, c) for font in fonts(15))))


def wrapped(text: str, width_px: float, size_px: int, lines: int = 4) -> list[str]:
    """Lines of at most this width, broken between words where possible. The last ends with "..." where more text is cut."""
    rest, made = " ".join(text.split()), []
    while rest and len(made) < lines:
        cut = _fitting(rest, width_px, size_px)
        if cut < len(rest):
            cut = rest.rfind(" ", 1, cut + 1) if " " in rest[1 : cut + 1] else cut
        made.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    if rest:
        last = made[-1]
        made[-1] = last[: _fitting(last, width_px - length("...", size_px), size_px)].rstrip() + "..."
    return made


def _fitting(text: str, width_px: float, size_px: int) -> int:
    """Return how many letters fit, at least one."""
    count = 1
    while count < len(text) and length(text[: count + 1], size_px) <= width_px:
        count += 1
    return count


@cache
def _font_of(letter: str, size_px: int) -> Font:
    return next((font for font in fonts(size_px) if _has(font, letter)), fonts(size_px)[0])


def _has(font: Font, letter: str) -> bool:
    return letter.isspace() or _picture(font, letter) != _picture(font, _NO_LETTER)


def _picture(font: Font, letter: str) -> bytes:
    image = Image.new("L", (48, 48))
    ImageDraw.Draw(image).text((8, 8), letter, 255, font)
    return image.tobytes()
