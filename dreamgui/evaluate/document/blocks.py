"""Content of a report, once: texts, tables and pictures. ``markdown.py`` and ``html.py`` write it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from PIL import Image


@dataclass(frozen=True)
class Figure:
    """A picture in the report's folder: ``path`` relative to it, and ``note``, the small line below it."""

    path: str
    alt: str
    note: str = ""


Content = str | Figure


@dataclass(frozen=True)
class Heading:
    """The title of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of short sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """The few numbers a reader looks for first, as (value, what it is)."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """Rows of texts and pictures under a header. The first column names the row."""

    header: tuple[str, ...]
    rows: tuple[tuple[Content, ...], ...]

    @property
    def has_pictures(self) -> bool:
        """Return whether any cell is a picture."""
        return any(isinstance(cell, Figure) for row in self.rows for cell in row)


@dataclass(frozen=True)
class Chart:
    """A chart of numbers, as an SVG file in the report's folder."""

    path: str
    alt: str
    svg: str


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    shots: tuple[Figure, ...]


Block = Heading | Paragraph | Bullets | Figures | Table | Chart | Gallery


@dataclass(frozen=True)
class Document:
    """A whole report: what is read, the pictures in it by their path, and the same as data.

    Attributes:
        title: the report's name.
        lead: one or two sentences that say what was done.
        blocks: everything below.
        pictures: every picture that a :class:`Figure` names, by its path.
        data: the content of report.json.
    """

    title: str
    lead: str
    blocks: tuple[Block, ...]
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)

    def charts(self) -> Iterator[Chart]:
        """The charts in their order."""
        return (block for block in self.blocks if isinstance(block, Chart))
