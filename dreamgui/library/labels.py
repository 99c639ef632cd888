"""Name, tags and note of an item."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from dreamgui.errors import BadInput, OutOfRange
from dreamgui.library.history import jobs_of
from dreamgui.library.in_use import require_unused
from dreamgui.library.item import SHELF_OF, Item, companions
from dreamgui.library.marks import LONGEST_NOTE, LONGEST_TAG, MOST_TAGS, read_marks, write_marks
from dreamgui.library.reading import read_json_file
from dreamgui.models.catalog.cards import MODEL_CARD, RUN_CARD, certificate_place
from dreamgui.names import name_notes, numbered_names, safe_name, same_folder
from dreamgui.training.sweep_queue import SweepQueue
from dreamgui.workspace import Shelf, Workspace, write_json

_OWN_CARD = {"run": RUN_CARD, "base": MODEL_CARD}
_REFERENCE = {"dataset": ("dataset", "dataset"), "base": ("base", "model")}
"""Fields of a run's card and of the job in it that name such an item."""


def set_note(item: Item, text: str) -> None:
    """Keep a note of at most 2000 letters. An empty text removes it.

    Raises:
        OutOfRange: it is longer.
    """
    note = text.strip()
    if len(note) > LONGEST_NOTE:
        raise OutOfRange(f"The note has {len(note)} letters; {LONGEST_NOTE} fit.", "Shorten it.")
    write_marks(item.folder, read_marks(item.folder).model_copy(update={"note": note}))


def set_tags(item: Item, tags: Iterable[str]) -> None:
    """Keep these tags in place of the earlier ones, each once: at most 20 tags of 40 letters.

    Raises:
        OutOfRange: they are more, or one is longer.
    """
    kept = tuple(dict.fromkeys(" ".join(tag.split()) for tag in tags if tag.strip()))
    if len(kept) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in kept):
        raise OutOfRange(
            f"At most {MOST_TAGS} tags of {LONGEST_TAG} letters fit.", "Use fewer or shorter tags."
        )
    write_marks(item.folder, read_marks(item.folder).model_copy(update={"tags": kept}))


def rename(workspace: Workspace, item: Item, wanted: str) -> tuple[str, list[str]]:
    """Rename an item's folder, and the name in the cards that refer to it.

    What the program reads of earlier reports and sweeps follows too; their pages and certificates keep the name that they
    were made with.

    Returns:
        The new name, and sentences where it isn't the wanted one.

    Raises:
        AlreadyRunning: a training or job works on it.
        BadInput: nothing usable is left of the name, or a checkpoint or picture should be renamed.
    """
    if item.kind == "checkpoint":
        raise BadInput("A checkpoint is named after its step.", "Rename its run.")
    if item.kind == "picture":
        raise BadInput("A picture is named after its day, number and seed.", "Give it a tag or a note.")
    if unicodedata.normalize("NFC", wanted.strip()) == item.name:
        return item.name, []
    require_unused(workspace, item)
    if item.kind == "run":
        record_jobs(workspace, item)
    name = claim_and_move(workspace, item.kind, [item.folder, *_beside(item)], wanted)
    _follow(workspace, item, name)
    return name, name_notes(_with_ending(item, wanted), name)


def record_jobs(workspace: Workspace, run: Item) -> None:
    """Write the run's jobs into its library.json, so that they are found under another name."""
    marks = read_marks(run.folder)
    if (jobs := jobs_of(workspace, run.folder)) != marks.jobs:
        write_marks(run.folder, marks.model_copy(update={"jobs": jobs}))


def claim_and_move(workspace: Workspace, kind: str, files: list[Path], wanted: str) -> str:
    """Move an item's folder, or an export's files (the first one its own), to a free name like the wanted one.

    Returns:
        The name.
    """
    shelf, source = SHELF_OF[kind], files[0]
    if kind == "export":
        return _move_export(workspace.root / shelf, files, wanted)
    name = workspace.fresh(cast(Shelf, shelf), wanted)
    target = workspace.root / shelf / name
    # Not every system replaces an empty folder.
    target.rmdir()
    os.replace(source, target)
    if card := _OWN_CARD.get(kind):
        _rewrite(target / card, lambda data: data | {"name": name})
    if kind == "run":
        _rewrite(target / RUN_CARD, lambda data: _with_job(data, "run", name))
    return name


def _move_export(shelf: Path, files: list[Path], wanted: str) -> str:
    ending = "".join(files[0].suffixes[-1:]) if files[0].is_file() else ""
    shelf.mkdir(exist_ok=True)
    taken = {same_folder(path.stem if path.is_file() else path.name) for path in shelf.iterdir()}
    bare = wanted.strip().removesuffix(ending) if ending else wanted
    stem = next(name for name in numbered_names(safe_name(bare)) if same_folder(name) not in taken)
    old = files[0].stem if files[0].is_file() else files[0].name
    for file in files[1:]:
        os.replace(file, shelf / (stem + file.name.removeprefix(old)))
    target = shelf / (stem + ending)
    os.replace(files[0], target)
    if ending:
        _rewrite(certificate_place(target), lambda data: _with_file(data, files[0].name, target.name))
    return target.name


def _beside(item: Item) -> list[Path]:
    return companions(item.folder) if item.folder.is_file() else []


def _with_ending(item: Item, wanted: str) -> str:
    ending = item.folder.suffix if item.folder.is_file() else ""
    return wanted.strip().removesuffix(ending) + ending if ending else wanted.strip()


def _follow(workspace: Workspace, item: Item, name: str) -> None:
    """Change the name in the cards of runs and in what the program reads of reports."""
    if item.kind in ("run", "base", "dataset"):
        _follow_in_reports(workspace, item, name)
    if item.kind not in _REFERENCE:
        return
    field, of_job = _REFERENCE[item.kind]
    for run in (workspace.root / "runs").iterdir():
        data = read_json_file(run / RUN_CARD).content
        if data and data.get(field) == item.name:
            _rewrite(run / RUN_CARD, lambda data: _with_job(data | {field: name}, of_job, name))


def _follow_in_reports(workspace: Workspace, item: Item, name: str) -> None:
    """Change the name in the figures, settings and queues of reports, a kept model's RUN@STEP with it."""

    def new(value: Any) -> Any:
        own, at, step = str(value).partition("@")
        return name + at + step if own == item.name and isinstance(value, str) else value

    fields = ("dataset",) if item.kind == "dataset" else ("model", "models", "run", "name")
    for report in (workspace.root / "reports").iterdir():
        if (report / "report.json").is_file():
            _rewrite(report / "report.json", lambda data: _renamed(data, fields, new))
        if item.kind == "run" and (report / "queue.json").is_file():
            SweepQueue(report).rename(item.name, name)


def _renamed(data: dict[str, Any], fields: Sequence[str], new: Callable[[Any], Any]) -> dict[str, Any]:
    """A report's content with names replaced in its rows and in its settings."""
    parts = {key: data[key] for key in ("models", "rows", "settings", "job") if key in data}

    def row(values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        own = {field: values[field] for field in fields if field in values}
        return values | {
            field: [new(each) for each in value] if isinstance(value, list) else new(value)
            for field, value in own.items()
        }

    return data | {
        key: [row(each) for each in part] if isinstance(part, list) else row(part)
        for key, part in parts.items()
    }


def _with_job(data: dict[str, Any], field: str, name: str) -> dict[str, Any]:
    job = data.get("job")
    return data | {"job": job | {field: name}} if isinstance(job, dict) and job.get(field) else data


def _with_file(data: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    files = data.get("files")
    if not isinstance(files, dict) or old not in files:
        return data
    return data | {"files": {new if key == old else key: value for key, value in files.items()}}


def _rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a JSON file and keep its time. One that can't be read stays."""
    data = read_json_file(path).content
    if data is not None and (changed := change(data)) != data:
        _keep_time(path, changed)


def _keep_time(path: Path, data: Any) -> None:
    status = path.stat()
    write_json(path, data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
