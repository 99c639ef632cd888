"""Sizes of a workspace's items, and what can be cleaned."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dreamgui.library.folders import weight
from dreamgui.library.item import Item
from dreamgui.library.trash import TRASH, delete, empty
from dreamgui.training.resumable import CHECKPOINTS, already_training
from dreamgui.workspace import Workspace

Cleanable = Literal["checkpoints", "compiled", "trash"]
_OTHER = {"uploads": "uploads", "class images": "classes", "jobs": "jobs"}


@dataclass(frozen=True)
class Sizes:
    """Bytes on the disk.

    Attributes:
        by_kind: of items by kind, and of the workspace's other folders. A run's include its checkpoints'.
        cleanable: of old checkpoints, the compiler's cache and the trash.
    """

    by_kind: dict[str, int]
    cleanable: dict[Cleanable, int]


def sizes(workspace: Workspace, items: Iterable[Item]) -> Sizes:
    """Return the bytes of these items by kind, and those that can be cleaned."""
    listed = list(items)
    by_kind: dict[str, int] = {}
    for item in listed:
        by_kind[item.kind] = by_kind.get(item.kind, 0) + item.size_bytes
    others = {name: weight(workspace.root / folder).size_bytes for name, folder in _OTHER.items()}
    cleanable: dict[Cleanable, int] = {
        "checkpoints": sum(item.size_bytes for item in old_checkpoints(listed)),
        "compiled": weight(workspace.compiled).size_bytes,
        "trash": weight(workspace.root / TRASH).size_bytes,
    }
    return Sizes(by_kind | others, cleanable)


def old_checkpoints(items: Iterable[Item]) -> list[Item]:
    """Return the checkpoints of each run but its last whole one.

    Those of a run that is being trained and kept models stay out.
    """
    listed = list(items)
    running = {item.name for item in listed if item.kind == "run" and item.state == "running"}
    found = [
        item
        for item in listed
        if item.kind == "checkpoint" and item.folder.parent.name == CHECKPOINTS and item.run not in running
    ]
    last: dict[str, str] = {}
    for item in found:
        if item.state != "broken":
            last[item.run] = max(last.get(item.run, ""), item.folder.name)
    return [item for item in found if item.folder.name != last.get(item.run)]


def clean(workspace: Workspace, what: Cleanable, items: Iterable[Item]) -> int:
    """Move old checkpoints into the trash, remove the compiler's cache, or empty the whole trash.

    Returns:
        Bytes that came free; of checkpoints, those that will once the trash is emptied.

    Raises:
        AlreadyRunning: a training runs that uses the cache, or has begun meanwhile.
    """
    listed = list(items)
    if what == "checkpoints":
        return sum(delete(workspace, item).size_bytes for item in old_checkpoints(listed))
    if what == "trash":
        return empty(workspace, older_than_days=0)
    if running := [item for item in listed if item.state == "running"]:
        raise already_training(running[0].folder)
    size = weight(workspace.compiled).size_bytes
    gone = workspace.compiled.with_name(f".{workspace.compiled.name}.gone")
    if workspace.compiled.is_dir():
        shutil.rmtree(gone, ignore_errors=True)
        os.replace(workspace.compiled, gone)
        shutil.rmtree(gone, ignore_errors=True)
    return size
