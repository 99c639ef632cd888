"""Sizes of folders, kept by the time at which each folder has changed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_FRESH_SECONDS = 2.0
"""A folder that changed so lately may change again within the same tick of the disk's clock."""


class Weight(NamedTuple):
    """Bytes of all files, and the number of those without a dot before their name."""

    size_bytes: int
    files: int


class _Listed(NamedTuple):
    changed_ns: int
    own: Weight
    inner: tuple[str, ...]


_listed: dict[str, _Listed] = {}


def weight(folder: Path) -> Weight:
    """Return the weight of a folder with all below it. Links are not followed.

    A folder that vanishes meanwhile weighs nothing.
    """
    total, files, waiting = 0, 0, [str(folder)]
    while waiting:
        found = _listing(waiting.pop())
        total, files = total + found.own.size_bytes, files + found.own.files
        waiting += found.inner
    return Weight(total, files)


def forget() -> None:
    """Forget all sizes."""
    _listed.clear()


def _listing(folder: str) -> _Listed:
    try:
        changed_ns = Path(folder).lstat().st_mtime_ns
    except OSError:
        return _Listed(0, Weight(0, 0), ())
    known = _listed.get(folder)
    if known and known.changed_ns == changed_ns:
        return known
    found = _scan(folder, changed_ns)
    if time.time() - changed_ns / 1e9 > _FRESH_SECONDS:
        _listed[folder] = found
    return found


def _scan(folder: str, changed_ns: int) -> _Listed:
    size, files, inner = 0, 0, []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    inner.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    size += entry.stat(follow_symlinks=False).st_size
                    files += entry.name[0] != "."
    return _Listed(changed_ns, Weight(size, files), tuple(inner))
