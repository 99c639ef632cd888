"""Files in gradio's cache folder, and the visitors who may have them.

A file that a browser sent, or that a listener shows, belongs to the visitor of that request. Whatever a request
names passes :func:`uploaded`.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from dreamgui.errors import BadInput
from dreamgui.visitors import NOBODY, current

FILES_KEPT = 20_000
"""Files that a visitor may have at a time; the oldest are forgotten."""


class Files:
    """The files of each visitor."""

    def __init__(self) -> None:
        self._of: dict[str, OrderedDict[str, None]] = {}
        self._sent: dict[str, dict[str, int]] = {}
        self._coming: list[tuple[str, int]] = []
        self._lock = threading.Lock()

    def grant(self, visitor: str, value: Any) -> None:
        """Let a visitor have each file of the cache folder that a value names."""
        with self._lock:
            files = self._of.setdefault(visitor, OrderedDict())
            for path in filter(in_cache, map(os.path.realpath, paths_in(value))):
                files[path] = None
                files.move_to_end(path)
            while len(files) > FILES_KEPT:
                files.popitem(last=False)

    def grant_uploads(self, visitor: str, paths: list[str]) -> None:
        """Let a visitor have files that came in, and count their bytes."""
        self.grant(visitor, [{"path": path} for path in paths])
        with self._lock:
            sent = self._sent.setdefault(visitor, {})
            for path in map(os.path.realpath, paths):
                if in_cache(path):
                    sent[path] = Path(path).stat().st_size

    def sent_bytes(self, visitor: str | None = None) -> int:
        """Return the bytes that a visitor, or all of them, sent and that are still there or on their way."""
        with self._lock:
            for sent in [self._sent.get(visitor, {})] if visitor is not None else self._sent.values():
                for path in [path for path in sent if not Path(path).exists()]:
                    del sent[path]
            counted = self._sent.values() if visitor is None else [self._sent.get(visitor, {})]
            coming = sum(size for whose, size in self._coming if visitor in (None, whose))
            return coming + sum(size for sent in counted for size in sent.values())

    @contextmanager
    def coming(self, visitor: str, size_bytes: int) -> Iterator[None]:
        """Count an upload of this visitor that is on its way, inside the block."""
        with self._lock:
            self._coming.append((visitor, size_bytes))
        try:
            yield
        finally:
            with self._lock:
                self._coming.remove((visitor, size_bytes))

    def forget(self, visitor: str) -> None:
        """Delete a visitor's files from the cache folder, but those that another visitor has too."""
        with self._lock:
            # Those that were forgotten as too many are still there.
            mine = {**self._of.pop(visitor, {}), **self._sent.pop(visitor, {})}
            others = {path for files in self._of.values() for path in files}
        for path in mine.keys() - others:
            with suppress(OSError):
                Path(path).unlink()

    def holds(self, visitor: str, path: str | Path) -> bool:
        """Return whether a visitor may have this file."""
        with self._lock:
            return visitor != NOBODY and os.path.realpath(path) in self._of.get(visitor, ())

    def check(self, visitor: str, value: Any) -> None:
        """Check each file that a request's values name.

        Raises:
            BadInput: one isn't this visitor's.
        """
        for path in paths_in(value):
            if not self.holds(visitor, path):
                raise _not_uploaded(Path(path))


FILES = Files()
"""The files of this process's visitors, as gradio's cache folder is one a process."""


def paths_in(value: Any) -> Iterator[str]:
    """Yield the paths in a value of JSON, wherever gradio would look for a file."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            path = item.get("path")
            if isinstance(path, str) and path:
                yield path
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item


def cache_folder() -> Path:
    """Return gradio's cache folder."""
    return Path(os.path.realpath(get_upload_folder()))


def in_cache(path: str | Path) -> bool:
    """Return whether a path lies in gradio's cache folder."""
    return Path(path).is_relative_to(cache_folder())


def uploaded(value: Any) -> Path:
    """Return the path of a file that this visitor has uploaded, or was shown.

    Args:
        value: the path, or gradio's dict with it.

    Raises:
        BadInput: it is a folder, a file of the server, or another visitor's.
    """
    path = Path(str(value["path"] if isinstance(value, dict) and "path" in value else value))
    visitor = current()
    mine = visitor == NOBODY or FILES.holds(visitor, path)
    if not (mine and in_cache(os.path.realpath(path)) and path.is_file()):
        raise _not_uploaded(path)
    return path


def _not_uploaded(path: Path) -> BadInput:
    return BadInput(f"{path.name[:80]!r} wasn't uploaded.", "Upload the file (handle_file in gradio_client).")
