"""A data set that leaves the workspace and comes back: as a folder, or as one zip, without the photographs.

Layout: that of the data set's own folder (``dreamgui/data/dataset.py``), without dropped crops and history.
Its kohya.toml is what sd-scripts takes as ``--dataset_config`` when started in that folder.
"""

from __future__ import annotations

import io
import json
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from dreamgui.data.dataset import Dataset, checked_caption
from dreamgui.data.entry import Entry, Sheet
from dreamgui.data.photos import load_view, photo_bytes, shown_name
from dreamgui.data.store import kohya_toml
from dreamgui.data.unpack import is_zip, open_zip
from dreamgui.errors import BadInput, BadPhoto, DreamError, OutOfRange
from dreamgui.workspace import Workspace, new_folder, write_atomic

_SHEET = "dataset.json"
_MAX_SHEET_BYTES = 20_000_000
_SAME_DATE = (2000, 1, 1, 0, 0, 0)


def export_zip(dataset: Dataset, target: Path) -> Path:
    """Write the data set as one zip; the same data set gives the same bytes.

    Returns:
        ``target``.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in _files(dataset):
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
            raise BadInput(f"{target} exists and is no exported data set.", "Name a new file.")
        return target
    try:
        taken = target.exists() and any(target.iterdir())
        kind = type(json.loads((target / _SHEET).read_bytes()).get("entries")) if taken else list
    except (OSError, ValueError, AttributeError) as error:
        raise BadInput(
            f"No data set can be written to {target}: {error}."[:300], "Name a new folder."
        ) from error
    if kind is not list:
        raise BadInput(f"The folder {target} holds other files.", "Name a new folder.")
    return target


def export(dataset: Dataset, target: Path) -> Path:
    """Write the data set as one zip where the target is called so, else as a folder.

    Returns:
        The absolute path of what was written.

    Raises:
        BadInput: the target is taken by something else.
    """
    target = check_target(target)
    return export_zip(dataset, target) if _is_for_zip(target) else export_folder(dataset, target)


def _is_for_zip(target: Path) -> bool:
    return target.suffix.lower() == ".zip"


def export_folder(dataset: Dataset, target: Path) -> Path:
    """Write the data set as a folder, in the place of an earlier export.

    Returns:
        The folder's absolute path.

    Raises:
        BadInput: the folder is taken by something else.
    """
    target = check_target(target)
    with new_folder(target) as folder:
        for name, data in _files(dataset):
            write_atomic(folder / name, data)
        folder.chmod(0o755)
    return target


def _files(dataset: Dataset) -> Iterator[tuple[str, bytes]]:
    entries = tuple(entry for entry in dataset.entries if not entry.dropped)
    yield _SHEET, (dataset.sheet_of(entries).model_dump_json(indent=1) + "\n").encode()
    yield "metadata.jsonl", (dataset.folder / "metadata.jsonl").read_bytes()
    yield "kohya.toml", kohya_toml(dataset.size_px).encode()
    for entry in entries:
        yield str(entry.place), dataset.path(entry).read_bytes()
        yield str(entry.place.with_suffix(".txt")), entry.caption.encode()


def is_export(path: Path) -> bool:
    """Whether a file is a zip that :func:`export_zip` made, by what it contains."""
    if not is_zip(path):
        return False
    try:
        with open_zip(path) as archive:
            return _SHEET in archive.namelist()
    except BadPhoto:
        return False


def import_zip(path: Path, workspace: Workspace, wish: str) -> Dataset:
    """A data set from an exported zip, under the wished name or the next free one.

    Every picture is decoded, checked and written again; names in the zip never become paths. As the
    photographs aren't there, its crops can be dropped and captioned but not cut again.

    Raises:
        BadInput: it isn't what an export writes; nothing is left behind.
    """
    name = shown_name(path)
    try:
        with open_zip(path) as archive:
            sheet = _checked(Sheet.model_validate_json(_read(archive, _SHEET, _MAX_SHEET_BYTES)))
            # Their name must never point at another data set's photographs.
            sheet = sheet.model_copy(update={"uploads": f"imported-{secrets.token_hex(8)}"})
            workspace.require_space(2 * path.stat().st_size)
            target = workspace.place("datasets", workspace.fresh("datasets", wish))
            with new_folder(target) as folder:
                for entry in sheet.entries:
                    _import_picture(archive, entry, sheet.size_px, folder)
                Dataset(folder, sheet).save()
    except (
        ValidationError,
        KeyError,
        ValueError,
        OSError,
        zipfile.BadZipFile,
        BadPhoto,
        OutOfRange,
    ) as error:
        what = error.what if isinstance(error, DreamError) else str(error)
        raise BadInput(f"{name} is no data set that can be read: {what}"[:300], "Export it again.") from error
    return Dataset.load(target)


def _checked(sheet: Sheet) -> Sheet:
    """The sheet with clean texts, without history and dropped crops.

    Raises:
        ValueError: two entries have one name.
    """
    kept = tuple(
        entry.model_copy(
            update={
                "caption": checked_caption(entry.caption),
                "source": shown_name(Path(entry.source)),
            }
        )
        for entry in sheet.entries
        if not entry.dropped
    )
    if len({entry.file for entry in kept}) != len(kept):
        raise ValueError("two crops have one name")
    caption = checked_caption(sheet.instance_prompt)
    return sheet.with_entries(kept, history=(), instance_prompt=caption)


def _import_picture(archive: zipfile.ZipFile, entry: Entry, size_px: int, folder: Path) -> None:
    target = folder / entry.place
    write_atomic(target, _read(archive, str(entry.place), 16 * size_px * size_px + 100_000))
    picture = load_view(target, name=entry.file).image
    if picture.size != (size_px, size_px):
        raise ValueError(f"{entry.file} has {picture.size} pixels, not {size_px} a side")
    write_atomic(target, photo_bytes(picture, lossless=True))


def _read(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise ValueError(f"{name} is encrypted or strangely packed")
    with archive.open(info) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"{name} is larger than {most_bytes} bytes")
    return data
