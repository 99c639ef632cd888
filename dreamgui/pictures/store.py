"""Generated pictures on the disk: ``pictures/DAY/NUMBER-SEED.png``, each with everything that made it.

A picture holds two texts: "parameters" for other programs (:mod:`dreamgui.pictures.made`) and "dreamgui", the job
and the figures as JSON. It holds no path and no other metadata.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from dreamgui.errors import BadPhoto, UnknownName
from dreamgui.pictures import texts
from dreamgui.pictures.made import Made, parameters
from dreamgui.pictures.parsed import parsed
from dreamgui.workspace import Workspace, write_atomic

_SHELF, _REMOVED = "pictures", ".removed"
_KNOWN = ("job", "figures")


@dataclass(frozen=True)
class Found:
    """Texts of a picture's file.

    Attributes:
        made: its settings.
        job: our job's fields; empty in a picture of another program.
        figures: what was measured, by name.
        remarks: sentences on what wasn't understood.
    """

    made: Made
    job: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A kept picture in a list: its name, the model, the prompt, and its file with time (s since 1970) and bytes."""

    name: str
    model: str
    prompt: str
    path: Path
    made: float
    size_bytes: int


def keep_picture(
    workspace: Workspace, image: Image.Image, made: Made, job: Mapping[str, Any], figures: Mapping[str, Any]
) -> Path:
    """Write a picture under the day's next number, whole or not at all. Return its path.

    Raises:
        NotEnoughDisk: the disk is full.
    """
    folder = workspace.place("pictures", date.today().isoformat())
    folder.mkdir(parents=True, exist_ok=True)
    path = _claim(folder, made.seed or 0)
    try:
        write_atomic(path, png_bytes(image, made, job, figures))
    finally:
        if not path.stat().st_size:
            path.unlink()
    return path


def png_bytes(
    image: Image.Image, made: Made, job: Mapping[str, Any], figures: Mapping[str, Any] | None = None
) -> bytes:
    """Return a picture as a PNG file with both texts."""
    return texts.png_bytes(image, parameters(made), {"job": dict(job), "figures": dict(figures or {})})


def read_picture(path: Path) -> Found:
    """Read how a picture was made, from a PNG of ours or A1111's, or a JPEG or WebP of A1111's.

    Our JSON is data only: what of it isn't known, is left out and told.

    Raises:
        BadPhoto: it is no picture, or nothing in it says how it was made; as :func:`dreamgui.pictures.texts.texts_of`.
    """
    text, ours = texts.texts_of(path)
    if not text.strip():
        raise BadPhoto(
            f"{path.name} doesn't say how it was made.",
            "Drop a file as DreamGUI or A1111 wrote it; messengers and editors remove such texts.",
        )
    made, remarks = parsed(text)
    data, own_remarks = _own_data(ours)
    return Found(made, data.get("job", {}), data.get("figures", {}), (*remarks, *own_remarks))


def picture_name(path: Path) -> str:
    """Return a kept picture's name: "DAY/NUMBER-SEED"."""
    return f"{path.parent.name}/{path.stem}"


def picture_path(workspace: Workspace, name: str) -> Path:
    """Return the file of a kept picture.

    Raises:
        UnknownName: there is none of this name.
    """
    day, _, stem = name.partition("/")
    path = workspace.root / _SHELF / day / f"{stem}.png"
    if not _is_name(day, stem) or not path.is_file():
        raise UnknownName(f"There is no picture {name!r}.", "It was deleted or moved; choose another one.")
    return path


def free_place(workspace: Workspace, name: str) -> Path:
    """Return the place of a picture that comes back under this name, with a new number where that is taken.

    Raises:
        UnknownName: no picture has such a name.
    """
    day, _, stem = name.partition("/")
    if not _is_name(day, stem):
        raise UnknownName(f"{name!r} is no picture's name.", "Choose another one.")
    path = workspace.root / _SHELF / day / f"{stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    return _claim(path.parent, int(stem.partition("-")[2])) if path.exists() else path


def remove(workspace: Workspace, name: str) -> None:
    """Move a kept picture out of sight. :func:`put_back` undoes it.

    Raises:
        UnknownName: there is none of this name.
    """
    path = picture_path(workspace, name)
    target = _removed(workspace, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)


def put_back(workspace: Workspace, name: str) -> None:
    """Undo :func:`remove`.

    Raises:
        UnknownName: nothing of this name was removed.
    """
    source = _removed(workspace, name)
    if not name or not source.is_file():
        raise UnknownName(f"No picture {name!r} was deleted.", "Choose a picture that is there.")
    target = workspace.root / _SHELF / f"{name}.png"
    target.parent.mkdir(exist_ok=True)
    source.replace(target)


def summaries(workspace: Workspace) -> list[Summary]:
    """Return all kept pictures, newest first. Of a file only its beginning is read, once."""
    return list(_newest_first(workspace))


def newest(workspace: Workspace, count: int) -> list[Summary]:
    """Return the last kept pictures, newest first. Other files aren't looked at."""
    return list(islice(_newest_first(workspace), count))


def _newest_first(workspace: Workspace) -> Iterator[Summary]:
    for day in sorted((workspace.root / _SHELF).iterdir(), reverse=True):
        if day.is_dir() and day.name[0] != ".":
            for path in sorted(day.glob("*.png"), reverse=True):
                if (status := path.stat()).st_size:
                    yield _summary(path, status)


def _summary(path: Path, status: os.stat_result) -> Summary:
    model, prompt = _words_of(path, status.st_mtime_ns)
    return Summary(picture_name(path), model, prompt, path, status.st_mtime, status.st_size)


@lru_cache(maxsize=20_000)
def _words_of(path: Path, _changed_ns: int) -> tuple[str, str]:
    """Model and prompt of a picture, or empty ones where it can't be read."""
    try:
        with Image.open(path) as image:
            made, _ = parsed(str(image.info.get(texts.PARAMETERS, "")))
            job = _own_data(str(image.info.get(texts.OURS, "")))[0].get("job", {})
    except (OSError, ValueError, SyntaxError):
        return "", ""
    return str(job.get("model") or made.model), made.prompt


def _is_name(day: str, stem: str) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", day) and re.fullmatch(r"\d{5,}-\d+", stem))


def _removed(workspace: Workspace, name: str) -> Path:
    return workspace.root / _SHELF / _REMOVED / f"{name.replace('/', '_')}.png"


def _claim(folder: Path, seed: int) -> Path:
    """Make the empty file of the next number, by this call alone. A deleted picture keeps its number."""
    there = [path.name for path in folder.glob("*-*.png")]
    removed = (folder.parent / _REMOVED).glob(f"{folder.name}_*.png")
    there += [path.name.partition("_")[2] for path in removed]
    number = max((int(name.split("-")[0]) for name in there if name.split("-")[0].isdigit()), default=0)
    while True:
        number += 1
        path = folder / f"{number:05d}-{seed}.png"
        with suppress(FileExistsError):
            path.open("xb").close()
            return path


def _own_data(text: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Our own JSON and sentences on what of it is left out, or nothing of it where it isn't what we write."""
    if not text:
        return {}, []
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or not all(isinstance(value, dict) for value in data.values()):
        return {}, ["DreamGUI's own text in the picture is damaged; the settings are those that A1111 reads."]
    strange = [name for name in data if name not in _KNOWN]
    remarks = [f"Left out, as unknown: {', '.join(strange)[:200]}."] if strange else []
    return {name: value for name, value in data.items() if name in _KNOWN}, remarks
