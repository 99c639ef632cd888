"""A dataset that leaves the workspace and comes back: as a folder, or as one zip, without the photographs.

Without dropped crops and history, in one of the layouts of ``dreamgui/data/dataset/layouts.py``: that of the dataset's own
folder (``dreamgui/data/dataset/dataset.py``), kohya's or diffusers'. Each comes back.
"""

from __future__ import annotations

import io
import json
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydantic import ValidationError

from dreamgui.config import DatasetLayout
from dreamgui.data.dataset.captions import Caption, decode_caption, one_line
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.dataset.entry import Entry, Sheet
from dreamgui.data.dataset.layouts import layout_files, pictures_folder, place_of
from dreamgui.data.dataset.store import SUPERSEDED
from dreamgui.data.dataset.takeover import (
    ROWS,
    SHELVES,
    Texts,
    listed,
    read_superseded,
    rows_by_crop,
    take_over,
)
from dreamgui.data.exchange.packed import MAX_SHEET_BYTES, SHEET, Packed, packed
from dreamgui.data.photos.load import PICTURE_SUFFIXES, load_view, photo_bytes, shown_name
from dreamgui.errors import BadInput, BadPhoto, DreamError
from dreamgui.workspace import Workspace, new_folder, write_atomic

_SAME_DATE = (2000, 1, 1, 0, 0, 0)
_LOCK = ".lock"
"""Lies in a dataset that somebody works on, never in an export."""


def export_zip(dataset: Dataset, target: Path, layout: DatasetLayout = "dreamgui") -> Path:
    """Write the dataset as one zip. The same dataset gives the same bytes.

    Returns:
        ``target``.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in _files(dataset, layout, None):
            info = zipfile.ZipInfo(name, _SAME_DATE)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    write_atomic(target, buffer.getvalue())
    return target


def check_target(target: Path) -> Path:
    """The absolute path of a folder or zip file that an export may fill: a new or empty one, or an earlier
    export.

    Raises:
        BadInput: it is another file, or holds something else.
    """
    target = target.expanduser().absolute()
    if _is_for_zip(target):
        if target.exists() and not is_export(target):
            raise BadInput(f"{target} exists and is no exported dataset.", "Name a new file.")
        _require_as_exported(target)
        return target
    try:
        taken = target.exists() and any(target.iterdir())
        kind = type(json.loads((target / SHEET).read_bytes()).get("entries")) if taken else list
    except (OSError, ValueError, AttributeError) as error:
        raise BadInput(
            f"No dataset can be written to {target}: {error}."[:300], "Name a new folder."
        ) from error
    if kind is not list:
        raise BadInput(f"The folder {target} holds other files.", "Name a new folder.")
    _require_as_exported(target)
    return target


def _require_as_exported(target: Path) -> None:
    """Raise BadInput for an earlier export that somebody worked on since: another export would take its place."""
    if not (target / SHEET).is_file() and not target.is_file():
        return
    name = shown_name(target)
    with packed(target) as source:
        try:
            sheet = _checked(Sheet.model_validate_json(source.read(SHEET, MAX_SHEET_BYTES)))
            changes = [*take_over(sheet, _texts(source)).remarks, *_unlisted(source, sheet)]
        except ValueError as error:
            raise BadInput(f"{name} holds a dataset.json that can't be read.", "Name a new one.") from error
    if (target / _LOCK).exists():
        changes.insert(0, "It is a dataset that is worked on, not an export.")
    if changes:
        raise BadInput(f"{name} would be lost. {changes[0]}", "Name a new file or folder.")


def export(dataset: Dataset, target: Path, layout: DatasetLayout = "dreamgui") -> Path:
    """Write the dataset as one zip where the target is called so, else as a folder.

    Returns:
        The absolute path of what was written.

    Raises:
        BadInput: the target is taken by something else.
    """
    target = check_target(target)
    write = export_zip if _is_for_zip(target) else export_folder
    return write(dataset, target, layout)


def _is_for_zip(target: Path) -> bool:
    return target.suffix.lower() == ".zip"


def export_folder(dataset: Dataset, target: Path, layout: DatasetLayout = "dreamgui") -> Path:
    """Write the dataset as a folder, in the place of an earlier export.

    Returns:
        The folder's absolute path.

    Raises:
        BadInput: the folder is taken by something else.
    """
    target = check_target(target)
    with new_folder(target) as folder:
        for name, data in _files(dataset, layout, target):
            write_atomic(folder / name, data)
        folder.chmod(0o755)
    return target


def _files(dataset: Dataset, layout: DatasetLayout, home: Path | None) -> Iterator[tuple[str, bytes]]:
    entries = tuple(entry for entry in dataset.entries if not entry.dropped)
    pictures = pictures_folder(layout, dataset.instance_prompt)
    yield SHEET, (dataset.sheet_of(entries).model_dump_json(indent=1) + "\n").encode()
    yield from layout_files(layout, dataset.size_px, pictures, entries, home)
    for entry in entries:
        yield str(place_of(entry, pictures)), dataset.path(entry).read_bytes()


def is_export(path: Path) -> bool:
    """Return whether a zip or a folder holds a dataset as :func:`export` writes it, by what it contains.

    A file manager may have packed it within its folder.
    """
    try:
        with packed(path) as source:
            return source.is_dataset
    except BadPhoto:
        return False


class Imported(NamedTuple):
    """A dataset that came back, and sentences about what was changed in it elsewhere."""

    dataset: Dataset
    remarks: tuple[str, ...]


def import_export(path: Path, workspace: Workspace, wanted: str) -> Imported:
    """A dataset from an exported zip or folder, under the given name or the next free one.

    Every picture is decoded, checked and written again; names in it never become paths. As the photographs
    aren't there, its crops can be dropped and captioned but not cut again. Captions that were changed there
    are kept.

    Raises:
        BadInput: it isn't what an export writes; nothing is left behind.
    """
    name = shown_name(path)
    try:
        with packed(path) as source:
            sheet = _checked(Sheet.model_validate_json(source.read(SHEET, MAX_SHEET_BYTES)))
            # Their name must never point at another dataset's photographs.
            sheet = sheet.model_copy(update={"uploads": f"imported-{secrets.token_hex(8)}"})
            sheet, remarks = take_over(sheet, _texts(source))
            unlisted = _unlisted(source, sheet)
            workspace.require_space(2 * sum(source.names.values()), f"The dataset in {path.name}")
            target = workspace.place("datasets", workspace.fresh("datasets", wanted))
            with new_folder(target) as folder:
                for entry in sheet.entries:
                    _import_picture(source, entry, sheet.size_px, folder)
                Dataset(folder, sheet.model_copy(update={"history": ()})).save()
    except (
        ValidationError,
        KeyError,
        ValueError,
        OSError,
        zipfile.BadZipFile,
        BadPhoto,
    ) as error:
        workspace.release_unused()
        what = error.what if isinstance(error, DreamError) else str(error)
        if isinstance(error, ValidationError):
            what = f"its {SHEET} holds {error.errors()[0]['msg']}"
        raise BadInput(f"{name} is no dataset that can be read: {what}"[:300], "Export it again.") from error
    return Imported(Dataset.load(target), (*remarks, *unlisted))


def _texts(source: Packed) -> Texts:
    """Captions as the export holds them now. It may be the folder of a program that was killed."""

    def beside(entry: Entry) -> list[Caption]:
        place = source.place(entry).with_suffix(".txt")
        names = dict.fromkeys([str(place), *(f"{shelf}/{place.name}" for shelf in SHELVES)])
        return [decode_caption(source.read(name, MAX_SHEET_BYTES)) for name in names if name in source.names]

    rows = rows_by_crop(source.read(ROWS, MAX_SHEET_BYTES)) if ROWS in source.names else {}
    kept = source.read(SUPERSEDED, MAX_SHEET_BYTES) if SUPERSEDED in source.names else b"{}"
    return Texts(beside, rows, read_superseded(kept))


def _unlisted(source: Packed, sheet: Sheet) -> list[str]:
    """A sentence that tells pictures which aren't the dataset's, if there are any."""
    own = {str(source.place(entry)) for entry in sheet.entries}
    others = [
        name
        for name in sorted(source.names)
        if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES
        and not any(part.startswith(".") for part in name.split("/"))
        and name not in own
    ]
    return [f"Pictures that dataset.json doesn't list were passed over: {listed(others)}."] if others else []


def _checked(sheet: Sheet) -> Sheet:
    """The sheet with clean texts, without history and dropped crops.

    Raises:
        ValueError: two entries have one name, or one has no caption.
    """
    kept = tuple(
        entry.model_copy(
            update={
                "caption": _one_line(entry.caption),
                "source": shown_name(Path(entry.source)),
            }
        )
        for entry in sheet.entries
        if not entry.dropped
    )
    if len({entry.file for entry in kept}) != len(kept):
        raise ValueError("two crops have one name")
    return sheet.with_entries(kept, history=(), instance_prompt=_one_line(sheet.instance_prompt))


def _one_line(caption: str) -> str:
    if not (text := one_line(caption)):
        raise ValueError("a caption is empty")
    return text


def _import_picture(source: Packed, entry: Entry, size_px: int, folder: Path) -> None:
    target = folder / entry.place
    write_atomic(target, source.read(str(source.place(entry)), 16 * size_px * size_px + 100_000))
    picture = load_view(target, name=entry.file).image
    if picture.size != (size_px, size_px):
        raise ValueError(f"{entry.file} has {picture.size} pixels, not {size_px} a side")
    write_atomic(target, photo_bytes(picture, lossless=True))
