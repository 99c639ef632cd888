"""All items of a workspace. What is broken is an item too, with the reason."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dreamgui.errors import UnknownName
from dreamgui.library.folders import Weight, weight
from dreamgui.library.item import KINDS, SHELF_OF, Item, Kind, is_companion
from dreamgui.library.kinds import base_item, dataset_item, export_item, picture_items, report_item
from dreamgui.library.marks import read_marks
from dreamgui.library.runs import checkpoint_items, kept_model_items, run_item
from dreamgui.library.scores import likenesses
from dreamgui.workspace import Workspace


class _Found(NamedTuple):
    folder: Path
    name: str
    weight: Weight


def items(workspace: Workspace, kinds: Collection[Kind] = KINDS) -> list[Item]:
    """Return all datasets, bases, runs with their checkpoints, exports, reports and pictures, or those of some kinds.

    The newest come first. Nothing on the disk is changed, and no weights are read.
    """
    found = [item for kind in kinds if kind in _OF_KIND for item in _OF_KIND[kind](workspace)]
    if "run" in kinds or "checkpoint" in kinds:
        runs = list(_runs(workspace))
        found += runs if "run" in kinds else ()
        for run in runs if "checkpoint" in kinds else ():
            found += (*checkpoint_items(run), *kept_model_items(run))
    return sorted((_marked(item) for item in found), key=lambda item: (-item.made, item.kind, item.name))


def find(workspace: Workspace, kind: str, name: str) -> Item:
    """Return the item of this kind and name.

    Raises:
        UnknownName: there is none.
    """
    wanted = unicodedata.normalize("NFC", name)
    for item in items(workspace, [each for each in KINDS if each == kind]):
        if item.name == wanted:
            return item
    raise UnknownName(f"There is no {kind} named {name!r}.", "Choose another one; it was renamed or deleted.")


def _datasets(workspace: Workspace) -> Iterator[Item]:
    for each in _folders(workspace, "dataset"):
        yield dataset_item(each.folder, each.name, each.weight.size_bytes)


def _bases(workspace: Workspace) -> Iterator[Item]:
    for each in _folders(workspace, "base"):
        yield base_item(each.folder, each.name, each.weight.size_bytes)


def _runs(workspace: Workspace) -> Iterator[Item]:
    faces, scores = {item.name: item.thumbnail for item in _datasets(workspace)}, likenesses(workspace)
    for each in _folders(workspace, "run"):
        yield run_item(
            workspace, each.folder, each.name, each.weight.size_bytes, faces, scores.get(each.name)
        )


def _exports(workspace: Workspace) -> Iterator[Item]:
    for path in _entries(workspace.root / SHELF_OF["export"]):
        if path.is_dir() or not is_companion(path):
            yield export_item(path, _composed(path.name))


def _reports(workspace: Workspace) -> Iterator[Item]:
    for each in _folders(workspace, "report"):
        yield report_item(each.folder, each.name, each.weight.size_bytes)


_OF_KIND: dict[Kind, Callable[[Workspace], Iterator[Item]]] = {
    "dataset": _datasets,
    "base": _bases,
    "export": _exports,
    "report": _reports,
    "picture": picture_items,
}


def _folders(workspace: Workspace, kind: Kind) -> Iterator[_Found]:
    """The folders of a kind. Those that hold no files are names that a job has claimed."""
    for path in _entries(workspace.root / SHELF_OF[kind]):
        if path.is_dir() and (heavy := weight(path)).files:
            yield _Found(path, _composed(path.name), heavy)


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.name[0] != "."]
    return []


def _marked(item: Item) -> Item:
    marks = read_marks(item.folder)
    return replace(item, tags=marks.tags, note=marks.note) if marks.tags or marks.note else item


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
