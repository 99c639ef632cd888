"""A report as one web page that needs nothing else: pictures and charts inside, nothing loaded, no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from functools import singledispatch
from html import escape
from pathlib import Path

from PIL import Image

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

_WEBP_QUALITY = 88
_STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def to_html(document: Document) -> str:
    """The whole document as one page without any outside resource."""
    body = "\n".join(_block(block, document.pictures) for block in document.blocks)
    title, lead = escape(document.title), escape(document.lead)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{title}</h1>\n<p class="lead">{lead}</p>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _picture(shot: Figure, pictures: Mapping[str, Image.Image]) -> str:
    image = pictures[shot.path]
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "WEBP", quality=_WEBP_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    note = f"<figcaption>{escape(shot.note)}</figcaption>" if shot.note else ""
    size = f'width="{image.width}" height="{image.height}"'
    return f'<figure><img {size} alt="{escape(shot.alt)}" src="data:image/webp;base64,{data}">{note}</figure>'


def _cell(content: Content, pictures: Mapping[str, Image.Image]) -> str:
    return _picture(content, pictures) if isinstance(content, Figure) else escape(content)


@singledispatch
def _block(block: object, pictures: Mapping[str, Image.Image]) -> str:
    raise TypeError(f"{type(block).__name__} has no HTML form")


@_block.register
def _(block: Heading, pictures: Mapping[str, Image.Image]) -> str:
    return f"<h2>{escape(block.text)}</h2>"


@_block.register
def _(block: Paragraph, pictures: Mapping[str, Image.Image]) -> str:
    return f"<p>{escape(block.text)}</p>"


@_block.register
def _(block: Bullets, pictures: Mapping[str, Image.Image]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>"


@_block.register
def _(block: Figures, pictures: Mapping[str, Image.Image]) -> str:
    tiles = (
        f"<div><strong>{escape(value)}</strong><span>{escape(text)}</span></div>"
        for value, text in block.items
    )
    return f'<div class="figures">{"".join(tiles)}</div>'


@_block.register
def _(block: Table, pictures: Mapping[str, Image.Image]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in block.header)
    rows = []
    for first, *rest in block.rows:
        cells = "".join(f"<td>{_cell(cell, pictures)}</td>" for cell in rest)
        rows.append(f'<tr><th scope="row">{_cell(first, pictures)}</th>{cells}</tr>')
    kind = ' class="pictures"' if block.has_pictures else ""
    table = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="wide"><table{kind}>{table}</table></div>'


@_block.register
def _(block: Chart, pictures: Mapping[str, Image.Image]) -> str:
    return f'<div class="chart" role="img" aria-label="{escape(block.alt)}">{block.svg}</div>'


@_block.register
def _(block: Gallery, pictures: Mapping[str, Image.Image]) -> str:
    return '<div class="gallery">' + "".join(_picture(shot, pictures) for shot in block.shots) + "</div>"
