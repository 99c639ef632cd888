"""Items that were made last, found without a look at the others."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dreamgui.library.item import SHELF_OF, Item
from dreamgui.library.kinds import dataset_item, picture_item, report_item
from dreamgui.library.reading import read_json_file
from dreamgui.library.runs import run_item
from dreamgui.models.catalog.cards import RUN_CARD, RunCard
from dreamgui.names import composed
from dreamgui.pictures.store import newest
from dreamgui.workspace import Workspace


def latest(workspace: Workspace, count: int) -> list[Item]:
    """Return the datasets, runs, reports and pictures that were made last, newest first, at most ``count``.

    Their sizes aren't measured: each is 0 bytes, but a picture's.
    """
    found = [picture_item(each) for each in newest(workspace, count)]
    found += [dataset_item(folder, composed(folder.name), 0) for folder in _last(workspace, "dataset", count)]
    found += [report_item(folder, composed(folder.name), 0) for folder in _last(workspace, "report", count)]
    found += [_run(workspace, folder) for folder in _last(workspace, "run", count)]
    return sorted(found, key=lambda item: (-item.made, item.kind, item.name))[:count]


def _run(workspace: Workspace, folder: Path) -> Item:
    card: RunCard | None = read_json_file(folder / RUN_CARD, RunCard).content
    faces: dict[str, Path | None] = {}
    if card and card.dataset and (dataset := workspace.root / "datasets" / card.dataset).is_dir():
        faces[card.dataset] = dataset_item(dataset, card.dataset, 0).thumbnail
    return run_item(workspace, folder, composed(folder.name), 0, faces, None)


def _last(workspace: Workspace, kind: str, count: int) -> list[Path]:
    """The folders of a kind whose entries changed last. Those without any are names that a job has claimed."""
    found: list[tuple[float, Path]] = []
    with suppress(OSError), os.scandir(workspace.root / SHELF_OF[kind]) as entries:
        for entry in entries:
            if entry.name[0] != "." and entry.is_dir() and any(os.scandir(entry.path)):
                found.append((entry.stat().st_mtime, Path(entry.path)))
    return [folder for _, folder in sorted(found, reverse=True)[:count]]
