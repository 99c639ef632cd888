"""Letters that Pillow's font lacks are written in another, and text that is cut says so."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from dreamgui.evaluate.document import fonts
from dreamgui.evaluate.document.sheet import contact_sheet


class Letters:
    """A font that has these letters."""

    def __init__(self, letters: str) -> None:
        self.letters = letters

    def getlength(self, text: str) -> float:
        return 10.0 * len(text)


@pytest.fixture
def two_fonts(monkeypatch: pytest.MonkeyPatch) -> tuple[Letters, Letters]:
    both = Letters("abc ."), Letters("\u0436\u4f60")
    monkeypatch.setattr(fonts, "fonts", lambda size_px: both)
    monkeypatch.setattr(fonts, "_has", lambda font, letter: letter in font.letters)
    fonts._font_of.cache_clear()
    return both


def test_each_letter_has_the_first_font_with_it(two_fonts: tuple[Letters, Letters]) -> None:
    latin, other = two_fonts
    assert list(fonts.pieces("ab\u0436\u4f60 c", 13)) == [
        ("ab", latin),
        ("\u0436\u4f60", other),
        (" c", latin),
    ]
    assert fonts.missing("a\u0436\u3042b\u3042") == "\u3042"
    fonts._font_of.cache_clear()


@pytest.mark.parametrize(
    "text, lines",
    [
        ("ab ab ab", ["ab ab", "ab"]),
        ("abcabcabc", ["abcabc", "abc"]),
        ("ab ab ab ab ab ab", ["ab ab", "ab..."]),
        ("\u4f60" * 30, ["\u4f60" * 6, "\u4f60" * 3 + "..."]),
        ("", []),
    ],
)
def test_cut_text_ends_in_dots(two_fonts: tuple[Letters, Letters], text: str, lines: list[str]) -> None:
    assert fonts.wrapped(text, 60, 13, lines=2) == lines
    fonts._font_of.cache_clear()


def test_cyrillic_is_no_row_of_boxes() -> None:
    if fonts.missing("\u0436\u044f"):
        pytest.skip("no font of this machine has Cyrillic letters")

    def drawn(text: str) -> bytes:
        image = Image.new("RGB", (40, 30))
        fonts.write(ImageDraw.Draw(image), (0, 0), text, (255, 255, 255), 15)
        return image.tobytes()

    assert drawn("\u0436") != drawn("\u044f")
    assert contact_sheet(["a"], ["\u0436"], {}).tobytes() != contact_sheet(["a"], ["\u044f"], {}).tobytes()
