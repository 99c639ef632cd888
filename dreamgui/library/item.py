"""One thing that a user made, as lists and pages show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dreamgui.workspace import EXPORTS

Kind = Literal["dataset", "base", "run", "checkpoint", "export", "report", "picture"]
State = Literal["running", "stopped", "done", "broken"]
KINDS: tuple[Kind, ...] = ("dataset", "base", "run", "checkpoint", "export", "report", "picture")
NAMED_BY_PLACE: tuple[Kind, ...] = ("checkpoint", "picture")
"""Kinds that nobody renames."""
SHELF_OF: dict[str, str] = {
    "dataset": "datasets",
    "base": "models",
    "run": "runs",
    "export": EXPORTS,
    "report": "reports",
}
"""The workspace's folder of each kind; checkpoints lie in their run, pictures by day."""


@dataclass(frozen=True)
class Item:
    """A dataset, base, run, checkpoint, export, report or generated picture.

    Attributes:
        name: unique within its kind, composed (NFC); a checkpoint's is ``RUN/step-000100``, a picture's
            ``2026-11-28/00001-5`` (day, number and seed).
        folder: its folder, or an export's or picture's file.
        made: seconds since 1970 of its own JSON file, which is written last.
        size_bytes: all of its files, an export's certificate among them.
        who: the person's words of the prompt, the dataset, or the base; a picture's model.
        figures: short labels and their texts.
        thumbnail: a picture of it inside the workspace.
        fault: the reason of the state "broken", a sentence.
        run: a checkpoint's run.
    """

    kind: Kind
    name: str
    folder: Path
    made: float
    size_bytes: int
    who: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    thumbnail: Path | None = None
    state: State = "done"
    fault: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    run: str = ""

    @property
    def files(self) -> list[Path]:
        """Return its folder, or an export's file with those beside it that belong to it."""
        return [self.folder, *companions(self.folder)] if self.folder.is_file() else [self.folder]


def companions(export: Path) -> list[Path]:
    """Return the existing files beside an export's or picture's file: certificate, model card, labels."""
    endings = (".certificate.json", ".README.md", ".library.json")
    return [path for ending in endings if (path := export.with_name(export.stem + ending)).is_file()]


def is_companion(file: Path) -> bool:
    """Return whether a file of the exports belongs to another one."""
    return file.name.endswith((".certificate.json", ".README.md", ".library.json"))
