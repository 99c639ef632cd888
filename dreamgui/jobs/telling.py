"""Texts of a job's events: what no recipe foresaw, and texts that name no folder of the machine."""

from __future__ import annotations

import logging
import traceback
from dataclasses import fields, replace
from pathlib import Path

from dreamgui.errors import without_paths
from dreamgui.events import Event, Failed
from dreamgui.workspace import is_disk_full, not_enough_disk

_log = logging.getLogger(__name__)


def without_places(event: Event, folder: Path) -> Event:
    """Return an event of the job in this folder with files in its texts named without their folders."""
    roots = (folder.parent.parent, folder.parent.parent.parent.parent)
    texts = {item.name: getattr(event, item.name) for item in fields(event)}
    return replace(
        event, **{name: without_paths(text, *roots) for name, text in texts.items() if isinstance(text, str)}
    )


def unexpected(error: BaseException, folder: Path, tells_paths: bool) -> Failed:
    """Return the ending for what no recipe foresees. A disk that filled up is told as such.

    Args:
        error: the exception; its traceback is written into the job's folder.
        folder: the job's.
        tells_paths: the program's output may hold the error's own words, which may be a prompt or a path.
    """
    if tells_paths:
        _log.error("job %s failed", folder.name, exc_info=error)
    else:
        _log.error("job %s failed: %s", folder.name, type(error).__name__)
    if is_disk_full(error):
        full = not_enough_disk(Path(getattr(error, "filename", None) or folder.parent.parent))
        return Failed(full.what, full.next_step)
    what = f"Unexpected error: {type(error).__name__}: {str(error)[:300]}"
    details = folder / "error.txt"
    try:
        details.write_text("".join(traceback.format_exception(error)), "utf-8", "backslashreplace")
    except OSError:
        return Failed(what, "The program's own output holds the details; please report them.")
    return Failed(what, f"The details are in {details}; please report them.")
