"""Half-written folders that a killed program left on the shelves: taken away after a day, or put back where they are the only copy."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from dreamgui.workspace import EXPORTS, REPLACED, WAS, Shelf, Workspace

STALE_SECONDS = 86_400.0
WRITTEN: tuple[Shelf, ...] = ("models", "runs", "datasets", "reports", "classes")
"""Shelves whose folders are filled under a hidden name and renamed once they are whole."""


def clean_up(workspace: Workspace) -> list[Path]:
    """Remove half-written folders and half-fetched models, once nothing in them has changed for a day.

    A folder that was moved aside for its successor is put back where the program was killed before that came.

    Returns:
        the folders that are gone from their hidden place.
    """
    hidden = (folder for shelf in (*WRITTEN, EXPORTS) for folder in (workspace.root / shelf).glob(".*"))
    stale = [folder for folder in hidden if _is_stale(folder)]
    for folder in stale:
        _put_back(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return stale


def _is_stale(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and time.time() - _changed(folder) > STALE_SECONDS


def _put_back(folder: Path) -> None:
    """Rename what was moved aside to its own name, if nothing has that name."""
    name, replaced, _ = folder.name.removeprefix(".").partition(REPLACED)
    if replaced and (folder / WAS).is_dir() and not (folder.parent / name).exists():
        os.replace(folder / WAS, folder.parent / name)


def _changed(folder: Path) -> float:
    """Return when anything in a folder last changed. What vanishes meanwhile belongs to a living program."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()
