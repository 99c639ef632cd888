"""The contact sheet: a labelled grid of pictures in one file."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_INK, _SOFT, _PAPER, _EMPTY = (35, 37, 42), (110, 114, 122), (255, 255, 255), (236, 234, 230)
_GAP_PX = 10


def contact_sheet(
    rows: Sequence[str],
    columns: Sequence[str],
    pictures: Mapping[tuple[int, int], Image.Image],
    notes: Mapping[tuple[int, int], str] | None = None,
    cell_px: int = 192,
) -> Image.Image:
    """A grid with names on the left, prompts above, and a short note under each picture.

    Args:
        rows: names of the rows.
        columns: names of the columns.
        pictures: by (row, column), both from 0; a missing one leaves a grey field.
        notes: small text under a picture, by (row, column).
        cell_px: side of the square a picture is fitted into.
    """
    font, small = ImageFont.load_default(15), ImageFont.load_default(13)
    row_labels, column_labels = (
        [_wrapped(text, 21) for text in rows],
        [_wrapped(text, cell_px // 7) for text in columns],
    )
    left = 2 * _GAP_PX + int(
        max((font.getlength(line) for text in row_labels for line in text.split("\n")), default=0)
    )
    head = 2 * _GAP_PX + 18 * max((text.count("\n") + 1 for text in column_labels), default=0)
    across, down = cell_px + _GAP_PX, cell_px + _GAP_PX + (18 if notes else 0)
    sheet = Image.new("RGB", (left + across * len(columns), head + down * len(rows)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, text in enumerate(column_labels):
        pen.multiline_text((left + across * column, _GAP_PX), text, _INK, small)
    for row, text in enumerate(row_labels):
        pen.multiline_text((_GAP_PX, head + down * row + cell_px // 2 - 10), text, _INK, font)
        for column in range(len(columns)):
            corner = (left + across * column, head + down * row)
            picture = pictures.get((row, column))
            field = _fitted(picture, cell_px) if picture else Image.new("RGB", (cell_px, cell_px), _EMPTY)
            sheet.paste(field, corner)
            if note := (notes or {}).get((row, column)):
                pen.text((corner[0], corner[1] + cell_px + 3), note, _SOFT, small)
    return sheet


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, max(width, 8))[:4])


def _fitted(picture: Image.Image, side_px: int) -> Image.Image:
    scale = side_px / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    field = Image.new("RGB", (side_px, side_px), _EMPTY)
    corner = ((side_px - size[0]) // 2, (side_px - size[1]) // 2)
    field.paste(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), corner)
    return field
