"""Trash of a workspace: deleted items, to be restored until the trash is emptied.

    trash/STAMP-KIND-NAME/trash.json   kind, name, place, time and bytes
    trash/STAMP-KIND-NAME/content/     the item's folder or files, as they were
    trash/STAMP-KIND-NAME/uploads/     a dataset's kept photographs, where no other dataset has them

Everything is moved, never copied. A link is moved and removed as a link: what it leads to stays.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamgui.data.dataset.entry import Sheet
from dreamgui.errors import BadInput, UnknownName
from dreamgui.library.folders import weight
from dreamgui.library.in_use import require_unused
from dreamgui.library.item import Item
from dreamgui.library.labels import claim_and_move, record_jobs
from dreamgui.library.reading import read_json_file
from dreamgui.names import name_notes, numbered_names, safe_name
from dreamgui.pictures.store import free_place, picture_name
from dreamgui.training.resumable import already_training, is_training
from dreamgui.workspace import Workspace, write_json

TRASH = "trash"
DAYS_KEPT = 30
_CARD, _CONTENT, _UPLOADS, _GONE = "trash.json", "content", "uploads", ".gone-"
_DAY_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Trashed:
    """One deleted item.

    Attributes:
        id: the name of its folder in the trash.
        place: its folder or file before, relative to the workspace.
        deleted: seconds since 1970.
        size_bytes: bytes that come free once the trash is emptied.
    """

    id: str
    kind: str
    name: str
    place: str
    deleted: float
    size_bytes: int


def delete(workspace: Workspace, item: Item) -> Trashed:
    """Move an item into the trash.

    A dataset's kept photographs go along; photographs outside the workspace are never touched.

    Raises:
        AlreadyRunning: a training or job works on it.
    """
    require_unused(workspace, item)
    if item.kind == "run":
        record_jobs(workspace, item)
    entry = _claim(workspace, item)
    uploads = _own_uploads(workspace, item)
    size = item.size_bytes + (weight(uploads).size_bytes if uploads else 0)
    card = {
        "kind": item.kind,
        "name": item.name,
        "place": item.folder.relative_to(workspace.root).as_posix(),
        "files": [path.name for path in item.files],
        "deleted": time.time(),
        "size_bytes": size,
    }
    write_json(entry / _CARD, card)
    (entry / _CONTENT).mkdir()
    for path in item.files:
        os.replace(path, entry / _CONTENT / path.name)
    if uploads:
        (entry / _UPLOADS).mkdir()
        os.replace(uploads, entry / _UPLOADS / uploads.name)
    return _read(entry)


def trashed(workspace: Workspace) -> list[Trashed]:
    """Return what is in the trash, last deleted first."""
    found = [_read(folder) for folder in _entries(workspace) if (folder / _CONTENT).is_dir()]
    return sorted(found, key=lambda each: (-each.deleted, each.id))


def restore(workspace: Workspace, trash_id: str) -> tuple[Trashed, str, list[str]]:
    """Bring a deleted item back.

    Returns:
        What it was, the name that it has now, and sentences where that is another one.

    Raises:
        UnknownName: nothing of this id is in the trash.
        BadInput: its trash.json can't be read, or a checkpoint's run isn't there or has such a checkpoint.
        AlreadyRunning: a checkpoint's run is being trained.
    """
    was = next((each for each in trashed(workspace) if each.id == trash_id), None)
    if was is None:
        raise UnknownName(
            f"There is no {trash_id!r} in the trash.", "Choose another one; it was restored or emptied."
        )
    entry = workspace.root / TRASH / was.id
    if not was.kind:
        raise BadInput(
            f"{entry / _CARD} can't be read.", f"Copy the folder {entry / _CONTENT} to its place yourself."
        )
    files = _contents(entry)
    _restore_uploads(workspace, entry, files)
    if was.kind == "checkpoint":
        name = _restore_checkpoint(workspace, was, files)
    elif was.kind == "picture":
        name = _restore_picture(workspace, was, files)
    else:
        name = claim_and_move(workspace, was.kind, files, was.name)
    shutil.rmtree(entry)
    return was, name, name_notes(was.name, name)


def empty(workspace: Workspace, older_than_days: float = DAYS_KEPT, now: float | None = None) -> int:
    """Remove for good what was deleted longer ago than this. Return how many bytes came free.

    Args:
        now: seconds since 1970; the clock's time unless given.
    """
    freed, limit = 0, (time.time() if now is None else now) - older_than_days * _DAY_SECONDS
    for folder in _entries(workspace):
        if (was := _read(folder)).deleted <= limit:
            gone = folder.with_name(_GONE + folder.name)
            os.replace(folder, gone)
            freed += was.size_bytes
    for gone in (workspace.root / TRASH).glob(f"{_GONE}*"):
        shutil.rmtree(gone)
    return freed


def _claim(workspace: Workspace, item: Item) -> Path:
    wanted = f"{time.strftime('%Y%m%d-%H%M%S')}-{item.kind}-{item.name.replace('/', '-')}"
    (workspace.root / TRASH).mkdir(exist_ok=True)
    for name in numbered_names(safe_name(wanted)):
        try:
            (workspace.root / TRASH / name).mkdir()
        except FileExistsError:
            continue
        return workspace.root / TRASH / name
    raise AssertionError("there are always more numbers")


def _entries(workspace: Workspace) -> list[Path]:
    trash = workspace.root / TRASH
    there = trash.iterdir() if trash.is_dir() else ()
    return [path for path in there if path.name[0] != "." and path.is_dir() and not path.is_symlink()]


def _read(entry: Path) -> Trashed:
    """The entry in this folder, without a kind where its trash.json can't be read."""
    data: dict[str, Any] = read_json_file(entry / _CARD).content or {}
    try:
        texts = [str(data[key]) for key in ("kind", "name", "place")]
        return Trashed(entry.name, *texts, float(data["deleted"]), int(data["size_bytes"]))
    except (KeyError, TypeError, ValueError):
        return Trashed(entry.name, "", entry.name, "", entry.stat().st_mtime, weight(entry).size_bytes)


def _contents(entry: Path) -> list[Path]:
    """The deleted folder or files, the item's own first."""
    named = (read_json_file(entry / _CARD).content or {}).get("files")
    there = {path.name: path for path in (entry / _CONTENT).iterdir()}
    first = [there.pop(name) for name in named if name in there] if isinstance(named, list) else []
    if not (found := [*first, *there.values()]):
        raise BadInput(f"{entry.name} is empty.", "Empty the trash.")
    return found


def _restore_checkpoint(workspace: Workspace, was: Trashed, files: Sequence[Path]) -> str:
    match Path(was.place).parts:
        case ("runs", run_name, ("checkpoints" | "steps") as kind, step):
            run = workspace.place("runs", run_name)
            target = run / kind / step
        case _:
            raise BadInput(
                f"{was.place!r} isn't a checkpoint's place.", f"Copy {files[0]} to its run yourself."
            )
    if not run.is_dir():
        raise BadInput(f"The run {run_name!r} isn't there.", "Restore it first.")
    if is_training(run):
        raise already_training(run)
    if target.exists():
        raise BadInput(
            f"The run {run_name!r} has a checkpoint {target.name} already.", "Delete that one first."
        )
    target.parent.mkdir(exist_ok=True)
    os.replace(files[0], target)
    return was.name


def _restore_picture(workspace: Workspace, was: Trashed, files: Sequence[Path]) -> str:
    place = free_place(workspace, was.name)
    for file in files:
        os.replace(file, place.with_name(place.stem + file.name.removeprefix(files[0].stem)))
    return picture_name(place)


def _own_uploads(workspace: Workspace, item: Item) -> Path | None:
    """The kept photographs that only this dataset has."""
    name = _uploads_name(item.folder) if item.kind == "dataset" else ""
    others = {
        _uploads_name(folder)
        for folder in (workspace.root / "datasets").iterdir()
        if name and folder != item.folder
    }
    folder = workspace.root / "uploads" / name
    return folder if name and name not in others and folder.is_dir() else None


def _uploads_name(dataset: Path) -> str:
    sheet: Sheet | None = read_json_file(dataset / "dataset.json", Sheet).content
    return sheet.uploads if sheet else ""


def _restore_uploads(workspace: Workspace, entry: Path, files: Sequence[Path]) -> None:
    """Put a dataset's photographs back, under another name, which the dataset then has, where theirs is taken."""
    kept = list((entry / _UPLOADS).iterdir()) if (entry / _UPLOADS).is_dir() else []
    for folder in kept:
        name = workspace.fresh("uploads", folder.name)
        target = workspace.root / "uploads" / name
        target.rmdir()
        os.replace(folder, target)
        sheet = read_json_file(files[0] / "dataset.json").content
        if name != folder.name and sheet:
            write_json(files[0] / "dataset.json", sheet | {"uploads": name})
