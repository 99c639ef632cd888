"""JSON files of items, read once for each of their versions. A fault is a sentence, never an exception."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from dreamgui.data.dataset.entry import Sheet
from dreamgui.models.catalog.cards import ModelCard, RunCard


class Read(NamedTuple):
    """Content of a file, or the sentence that tells why there is none."""

    content: Any
    fault: str = ""


def read_json_file(path: Path, kind: type[Sheet | ModelCard | RunCard] | None = None) -> Read:
    """Return a JSON file's content, checked against a model where one is given."""
    try:
        status = path.stat()
    except OSError:
        return Read(None, f"{path.name} is missing.")
    # A rewritten file may have its size and its time again, but not the same place on the disk at the same time.
    version = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
    return _read(path, version, kind)


@lru_cache(maxsize=4000)
def _read(path: Path, _version: tuple[int, ...], kind: Any) -> Read:
    try:
        data = json.loads(path.read_bytes())
        if not isinstance(data, dict):
            return Read(None, f"{path.name} isn't what DreamGUI writes.")
        return Read(kind.model_validate(data) if kind else data)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"]) or "its content"
        return Read(None, f"{path.name} can't be read: {place} is wrong.")
    except (OSError, ValueError, RecursionError):
        return Read(None, f"{path.name} can't be read.")


def made_at(path: Path, folder: Path) -> float:
    """Return when a file was written, in seconds since 1970. A missing file's folder counts instead, or 0 without both."""
    for each in (path, folder):
        try:
            return each.stat().st_mtime
        except OSError:
            continue
    return 0.0
