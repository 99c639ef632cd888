"""Endpoints for programs of the buttons that start no job: crops, library, trash, and requests to a running job."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType
from typing import Any, Literal

from gradio.events import api

from dreamgui.config import DatasetLayout, Framing
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.dataset.entry import Entry
from dreamgui.data.exchange.exchange import export_zip
from dreamgui.errors import BadInput
from dreamgui.events import Begun
from dreamgui.library.archive import archive
from dreamgui.library.cleaning import Cleanable, clean
from dreamgui.library.item import Item
from dreamgui.library.items import find, items
from dreamgui.library.labels import rename, set_note, set_tags
from dreamgui.library.trash import delete, restore, trashed
from dreamgui.models.recognition.inspect_file import inspect_file
from dreamgui.pictures.store import read_picture
from dreamgui.services import Services
from dreamgui.training.run_requests import RunRequests
from dreamgui.training.sweep_queue import SweepQueue
from dreamgui.ui.endpoints import received_file
from dreamgui.ui.parts.pictures import as_file, as_it_is, place_for
from dreamgui.ui.parts.session import as_ui_error
from dreamgui.ui.parts.stream import view_of
from dreamgui.workspace import Workspace

RunRequest = Literal["sample", "save"]
QueueChange = Literal["earlier", "later", "skip", "retry"]


def add_item_endpoints(services: Services, local: bool) -> None:
    """Register the endpoints in the Blocks that is being built.

    Args:
        local: callers may name files of this machine; else only uploaded ones.
    """
    _register(*_dataset_endpoints(services))
    _register(*_library_endpoints(services), *_trash_endpoints(services))
    _register(*_live_endpoints(services), _inspect_endpoint(local))


def _register(*endpoints: FunctionType) -> None:
    for endpoint in endpoints:
        api(endpoint, api_name=endpoint.__name__, concurrency_limit=None)


def _dataset_endpoints(services: Services) -> list[FunctionType]:
    def crops(dataset: str) -> list[dict[str, Any]]:
        """Return the crops of a dataset with caption, framing and state."""
        return as_ui_error(lambda: [_crop(entry) for entry in _dataset(services.workspace, dataset).entries])

    def edit_crop(
        dataset: str,
        crop: str,
        caption: str | None = None,
        framing: Framing | None = None,
        dropped: bool | None = None,
        held_out: bool | None = None,
    ) -> dict[str, Any]:
        """Change what is given of a crop, for instance of 0001.png, and return it as it is now. Held out are all
        crops of the same photograph. Each change can be undone."""

        def change() -> dict[str, Any]:
            found = _dataset(services.workspace, dataset)
            found.entry(crop)
            if caption is not None:
                found.set_caption(crop, caption)
            if framing is not None:
                found.set_framing(crop, framing)
            if dropped is not None:
                (found.drop if dropped else found.restore)(crop)
            if held_out is not None:
                found.hold_out(crop, held_out)
            return _crop(found.entry(crop))

        return as_ui_error(change)

    def undo_edit(dataset: str) -> dict[str, str]:
        """Take the last change of a dataset's crops back, and return its name."""
        return {"undone": as_ui_error(lambda: _dataset(services.workspace, dataset).undo())}

    def captions(dataset: str, find: str = "", replace: str = "", prefix: str = "") -> dict[str, int]:
        """Replace a text in the captions of all crops of a dataset, then put a prefix before each, and return the number
        of changes. Each step can be undone."""

        def change() -> dict[str, int]:
            found, changed = _dataset(services.workspace, dataset), 0
            if not (find or prefix):
                raise BadInput("Neither find nor prefix is given.", "Set one of them.")
            if find:
                changed += found.replace_in_captions(find, replace)
            if prefix:
                changed += found.prefix_captions(prefix)
            return {"changed": changed}

        return as_ui_error(change)

    def drop_crops(dataset: str, crops: list[str] | None = None) -> dict[str, int]:
        """Drop these crops of a dataset at once, or all flagged ones where none are named, and return their number."""

        def change() -> dict[str, int]:
            found = _dataset(services.workspace, dataset)
            if crops is None:
                return {"dropped": found.drop_flagged()}
            return {"dropped": found.drop_all([found.entry(each).file for each in crops])}

        return as_ui_error(change)

    return [crops, edit_crop, captions, drop_crops, undo_edit]


def _library_endpoints(services: Services) -> list[FunctionType]:
    def library() -> list[dict[str, Any]]:
        """Return all datasets, bases, runs, checkpoints, exports, reports and pictures, newest first."""
        return [_listed(item) for item in items(services.workspace)]

    def label(
        kind: str,
        name: str,
        new_name: str | None = None,
        tags: list[str] | None = None,
        note: str | None = None,
    ) -> dict[str, Any]:
        """Rename an item of the library, or set its tags or note, and return it as it is now."""

        def change() -> dict[str, Any]:
            item = find(services.workspace, kind, name)
            if tags is not None:
                set_tags(item, tags)
            if note is not None:
                set_note(item, note)
            now = rename(services.workspace, item, new_name)[0] if new_name else item.name
            return _listed(find(services.workspace, kind, now))

        return as_ui_error(change)

    def download(kind: str, name: str, layout: DatasetLayout = "dreamgui") -> dict[str, Any]:
        """Return an item of the library as a zip file, a dataset in the layout of a trainer."""
        return as_file(str(as_ui_error(lambda: _zipped(services.workspace, kind, name, layout))))

    def picture(name: str) -> dict[str, Any]:
        """Return a generated picture, by a name as 2026-11-28/00001-5, with what made it: its file, prompt and settings."""

        def found() -> dict[str, Any]:
            item = find(services.workspace, "picture", name)
            read = read_picture(item.folder)
            settings = dict(read.job) or {"seed": read.made.seed, "steps": read.made.steps}
            told = {"prompt": read.made.prompt, "settings": settings, "figures": dict(read.figures)}
            return {**_listed(item), **told, "image": as_file(as_it_is(item.folder))}

        return as_ui_error(found)

    return [library, label, download, picture]


def _zipped(workspace: Workspace, kind: str, name: str, layout: DatasetLayout) -> Path:
    item = find(workspace, kind, name)
    target = place_for(item.folder) / (f"{kind}-{item.name.replace('/', '-')}.zip")
    if kind == "dataset":
        target.parent.mkdir(parents=True, exist_ok=True)
        return export_zip(_dataset(workspace, name), target, layout)
    return archive(item, target)


def _trash_endpoints(services: Services) -> list[FunctionType]:
    def delete_item(kind: str, name: str) -> dict[str, Any]:
        """Move an item of the library into the trash, and return the id that restores it."""
        gone = as_ui_error(lambda: delete(services.workspace, find(services.workspace, kind, name)))
        return {"id": gone.id, "kind": gone.kind, "name": gone.name, "size_bytes": gone.size_bytes}

    def trash() -> list[dict[str, Any]]:
        """Return the deleted items, last deleted first."""
        gone = trashed(services.workspace)
        return [
            {"id": each.id, "kind": each.kind, "name": each.name, "size_bytes": each.size_bytes}
            for each in gone
        ]

    def restore_item(trash_id: str) -> dict[str, str]:
        """Bring a deleted item back, and return its kind and the name that it has now."""
        was, name, _ = as_ui_error(lambda: restore(services.workspace, trash_id))
        return {"kind": was.kind, "name": name}

    def clean_up(what: Cleanable) -> dict[str, int]:
        """Move old checkpoints into the trash, clear the compiler's cache, or empty the trash, and return the bytes."""
        return {"bytes": as_ui_error(lambda: clean(services.workspace, what, items(services.workspace)))}

    return [delete_item, trash, restore_item, clean_up]


def _live_endpoints(services: Services) -> list[FunctionType]:
    def begun(kind: str) -> str:
        active = services.jobs.active(kind)
        names = [found[0].name for job in active if (found := view_of(job).all(Begun))]
        if not names:
            raise BadInput(
                f"No {kind} job has begun its first step.", "Start one, and wait for its first step."
            )
        return names[0]

    def ask(what: RunRequest) -> dict[str, str]:
        """Request samples or a checkpoint of the running training after its present step, and return the run's name."""
        run = as_ui_error(lambda: begun("train"))
        RunRequests(services.workspace.place("runs", run)).ask(what)
        return {"run": run}

    def queue(run: str | None = None, change: QueueChange | None = None) -> list[dict[str, str]]:
        """Change the place of one training of the running sweep, skip it or try it again, and return all with their
        states. Without a run, nothing is changed."""
        waiting = SweepQueue(services.workspace.place("reports", as_ui_error(lambda: begun("sweep"))))
        if run and change:
            _changed(waiting, run, change)
        return [{"run": point.run, "state": point.state} for point in waiting.points()]

    return [ask, queue]


def _changed(queue: SweepQueue, run: str, change: QueueChange) -> None:
    if change in ("earlier", "later"):
        queue.move(run, -1 if change == "earlier" else 1)
    else:
        (queue.skip if change == "skip" else queue.retry)(run)


def _inspect_endpoint(local: bool) -> FunctionType:
    def inspect(source: str) -> list[str]:
        """Return five lines about a model file or folder: what it is and how to go on."""

        def lines() -> list[str]:
            path = received_file(source, local).expanduser()
            if not path.exists():
                raise BadInput(
                    f"There is no file {path.name!r} on this computer.", "Check the path, or upload the file."
                )
            return inspect_file(path)

        return as_ui_error(lines)

    return inspect


def _dataset(workspace: Workspace, name: str) -> Dataset:
    return Dataset.load(workspace.find("datasets", name))


def _crop(entry: Entry) -> dict[str, Any]:
    """Return a crop as JSON: its file, the photograph's name and what is known of it."""
    facts = {"crop": entry.file, "photograph": entry.source, "caption": entry.caption}
    state = {"dropped": entry.dropped, "held_out": entry.held_out, "warnings": list(entry.warnings)}
    return {**facts, "framing": entry.framing, "box": list(entry.box), **state}


def _listed(item: Item) -> dict[str, Any]:
    """Return an item of the library as JSON, without places on this machine."""
    facts = {"kind": item.kind, "name": item.name, "run": item.run, "who": item.who, "state": item.state}
    sizes = {"made": round(item.made), "size_bytes": item.size_bytes}
    words = {"figures": dict(item.figures), "tags": list(item.tags), "note": item.note, "fault": item.fault}
    return {**facts, **sizes, **words}
