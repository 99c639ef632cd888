"""Tags, note and earlier jobs of an item: ``library.json`` beside its own JSON file, or beside an export's file."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dreamgui.workspace import write_json

FILE = "library.json"
MOST_TAGS, LONGEST_TAG, LONGEST_NOTE = 20, 40, 2000


class Marks(BaseModel):
    """Content of library.json. ``jobs`` maps the ids of a run's jobs from before it was renamed to its name then."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    tags: tuple[str, ...] = Field(default=(), max_length=MOST_TAGS)
    note: str = Field(default="", max_length=LONGEST_NOTE)
    jobs: dict[str, str] = {}


def marks_place(folder: Path) -> Path:
    """Return the place of an item's library.json."""
    return folder.with_name(f"{folder.stem}.{FILE}") if folder.is_file() else folder / FILE


def read_marks(folder: Path) -> Marks:
    """Return an item's marks, or nothing where there are none, or they can't be read."""
    try:
        return Marks.model_validate_json(marks_place(folder).read_bytes())
    except (OSError, ValidationError):
        return Marks()


def write_marks(folder: Path, marks: Marks) -> None:
    """Write an item's marks, whole or not at all.

    Raises:
        NotEnoughDisk: the disk is full.
    """
    write_json(marks_place(folder), marks.model_dump(mode="json"))
