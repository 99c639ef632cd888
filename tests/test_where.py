"""Places that docs/ARCHITECTURE.md and docs/FACTS.md name are there: a page of "where do I change X" must not go stale."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STARTS = (ROOT / "dreamgui", ROOT)
"""A place is named from the package, or from the repository."""
HEADING = "## Where do I change X"


def table() -> Iterator[tuple[str, str, str]]:
    """Rows of the table: what is changed, its room, its files."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.partition(HEADING)[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith(("| X |", "| --- |")):
            what, room, files = (cell.strip() for cell in line.strip("|").split("|"))
            yield what, room, files


def places(text: str) -> Iterator[str]:
    """Paths in a text, NAME and KIND standing for any one name."""
    for quoted in re.findall(r"`([^`]+)`", text):
        place = quoted.partition(":")[0]
        if re.fullmatch(r"[\w./]+(/|\.py|\.md)", place):
            yield re.sub(r"\b(NAME|KIND)\b", "*", place)


def is_there(place: str) -> bool:
    return any(any(start.glob(place.rstrip("/"))) for start in STARTS)


@pytest.mark.parametrize(("what", "room", "files"), list(table()), ids=lambda cell: cell[:30])
def test_a_place_where_something_is_changed_is_there(what: str, room: str, files: str) -> None:
    named = [*places(room), *places(files)]
    assert list(places(room)), f"{what}: no room"
    assert not [place for place in named if not is_there(place)]


@pytest.mark.parametrize(
    "asked",
    ["sampler", "metric", "LoRA kind", "framing", "tab", "loss", "checkpoint's rhythm", "stopped job", "file format",
     "memory tier"],
)  # fmt: skip
def test_what_a_newcomer_asks_for_has_a_row(asked: str) -> None:
    assert [what for what, _, _ in table() if asked in what]


def test_the_kinds_of_fault_are_decided_where_the_page_says() -> None:
    text = (ROOT / "docs" / "FACTS.md").read_text(encoding="utf-8")
    section = text.partition("## Where each kind of fault is decided")[2].partition("\n## ")[0]
    found = list(places(section))
    assert len(found) > 20
    # A file beside the one that was named before goes by its name alone: `data/photos/colours.py`, `png_colours.py`.
    assert not [place for place in found if not is_there(place) and not is_there(f"**/{place}")]


@pytest.mark.parametrize(
    ("what", "most"),
    [("a sampler", 2), ("a metric", 3), ("a tab", 4), ("a LoRA kind that is read", 4), ("a loss", 3)],
)
def test_the_page_names_few_files_for_a_change(what: str, most: int) -> None:
    """The first sentence names the files; later ones name alternatives and documents."""
    [files] = [files.partition(". ")[0] for row, _, files in table() if row == what]
    named = re.sub(r"\([^()]*\)", "", files)
    assert 1 <= len(list(places(named))) <= most
