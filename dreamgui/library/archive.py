"""An item as one zip file, to take away."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from dreamgui.library.item import Item
from dreamgui.library.marks import FILE
from dreamgui.models.catalog.catalog import SNAPSHOTS
from dreamgui.training.resumable import CHECKPOINTS
from dreamgui.workspace import report_full_disk


def archive(item: Item, target: Path) -> Path:
    """Write an item's files into a zip file, whole or not at all, and return its path.

    Files are stored as they are, as weights and pictures hardly shrink. Locks, links, tags and notes stay out; a run's
    checkpoints and kept models too, which are items of their own.

    Raises:
        NotEnoughDisk: the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with report_full_disk(target, item.size_bytes), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        half = Path(scratch) / "half.zip"
        with zipfile.ZipFile(half, "w", zipfile.ZIP_STORED, strict_timestamps=False) as file:
            for path in _files(item):
                file.write(path, path.relative_to(item.folder.parent).as_posix())
        half.replace(target)
    return target


def archive_bytes(item: Item) -> int:
    """Return the bytes of the files that :func:`archive` writes."""
    return sum(path.stat().st_size for path in _files(item))


def _files(item: Item) -> list[Path]:
    found = item.files if item.folder.is_file() else sorted(item.folder.rglob("*"))
    own = {item.folder / CHECKPOINTS, item.folder / SNAPSHOTS} if item.kind == "run" else set()
    return [path for path in found if _goes_along(path) and own.isdisjoint(path.parents)]


def _goes_along(path: Path) -> bool:
    private = path.name.endswith(".lock") or path.name == FILE or path.name.endswith(f".{FILE}")
    return path.is_file() and not path.is_symlink() and not private
