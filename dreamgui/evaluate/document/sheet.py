"""The contact sheet: a labelled grid of pictures in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from dreamgui.evaluate.document.fonts import length, wrapped, write

_INK, _SOFT, _PAPER, _EMPTY = (35, 37, 42), (110, 114, 122), (255, 255, 255), (236, 234, 230)
_GAP_PX = 10
_LABEL_PX, _SMALL_PX, _LINE_PX = 15, 13, 18
_ROW_LABEL_PX = 170


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
    row_labels = [wrapped(text, _ROW_LABEL_PX, _LABEL_PX) for text in rows]
    column_labels = [wrapped(text, cell_px, _SMALL_PX) for text in columns]
    left = 2 * _GAP_PX + int(
        max((length(line, _LABEL_PX) for label in row_labels for line in label), default=0)
    )
    head = 2 * _GAP_PX + _LINE_PX * max(map(len, column_labels), default=0)
    across, down = cell_px + _GAP_PX, cell_px + _GAP_PX + (_LINE_PX if notes else 0)
    sheet = Image.new("RGB", (left + across * len(columns), head + down * len(rows)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, label in enumerate(column_labels):
        _label(pen, (left + across * column, _GAP_PX), label, _SMALL_PX)
    for row, label in enumerate(row_labels):
        _label(pen, (_GAP_PX, head + down * row + cell_px // 2 - 10), label, _LABEL_PX)
        for column in range(len(columns)):
            corner = (left + across * column, head + down * row)
            picture = pictures.get((row, column))
            field = _fitted(picture, cell_px) if picture else Image.new("RGB", (cell_px, cell_px), _EMPTY)
            sheet.paste(field, corner)
            if note := (notes or {}).get((row, column)):
                write(pen, (corner[0], corner[1] + cell_px), note, _SOFT, _SMALL_PX)
    return sheet


def _label(pen: ImageDraw.ImageDraw, corner: tuple[int, int], lines: Sequence[str], size_px: int) -> None:
    for number, line in enumerate(lines):
        write(pen, (corner[0], corner[1] + number * _LINE_PX), line, _INK, size_px)


def _fitted(picture: Image.Image, side_px: int) -> Image.Image:
    scale = side_px / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    field = Image.new("RGB", (side_px, side_px), _EMPTY)
    corner = ((side_px - size[0]) // 2, (side_px - size[1]) // 2)
    field.paste(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), corner)
    return field
