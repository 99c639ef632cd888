"""A report as Markdown, read on GitHub or in an editor."""

from __future__ import annotations

import re
from functools import singledispatch
from urllib.parse import quote

from dreamgui.evaluate.document.blocks import (
    Bullets,
    Chart,
    Content,
    Document,
    Figure,
    Figures,
    Gallery,
    Heading,
    Paragraph,
    Table,
)

_PICTURE_PX = 128
_ROW_PX = 900


def to_markdown(document: Document) -> str:
    """The whole document. Pictures are named by their paths beside it."""
    parts = [f"# {plain(document.title)}", plain(document.lead), *map(_block, document.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: str) -> str:
    """Text in which nothing is Markdown or HTML: prompts and names are whatever a user typed."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]#|~])", r"\\\1", " ".join(escaped.split()))


def _attribute(text: str) -> str:
    """Text in an HTML attribute in Markdown: every sign that either could read is written as a number."""
    return re.sub(r"[^\w .,:;+/-]", lambda sign: f"&#{ord(sign[0])};", " ".join(text.split()))


def _picture(shot: Figure, width_px: int = _PICTURE_PX) -> str:
    image = f'<img src="{quote(shot.path)}" width="{width_px}" alt="{_attribute(shot.alt)}">'
    return f"{image}<br>{plain(shot.note)}" if shot.note else image


def _cell(content: Content) -> str:
    return _picture(content) if isinstance(content, Figure) else plain(content)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


@singledispatch
def _block(block: object) -> str:
    raise TypeError(f"{type(block).__name__} has no Markdown form")


@_block.register
def _(block: Heading) -> str:
    return f"## {plain(block.text)}"


@_block.register
def _(block: Paragraph) -> str:
    return plain(block.text)


@_block.register
def _(block: Bullets) -> str:
    return "\n".join(f"- {plain(item)}" for item in block.items)


@_block.register
def _(block: Figures) -> str:
    return "\n".join(f"- **{plain(value)}** {plain(label)}" for value, label in block.items)


@_block.register
def _(block: Table) -> str:
    head = [_row(tuple(plain(cell) for cell in block.header)), _row(("---",) * len(block.header))]
    return "\n".join([*head, *(_row(tuple(_cell(cell) for cell in row)) for row in block.rows)])


@_block.register
def _(block: Chart) -> str:
    return f'<img src="{quote(block.path)}" width="640" alt="{_attribute(block.alt)}">'


@_block.register
def _(block: Gallery) -> str:
    header = _row(tuple(plain(shot.note) for shot in block.shots))
    width_px = min(2 * _PICTURE_PX, _ROW_PX // len(block.shots))
    pictures = _row(tuple(_picture(Figure(shot.path, shot.alt), width_px) for shot in block.shots))
    return "\n".join([header, _row(("---",) * len(block.shots)), pictures])
