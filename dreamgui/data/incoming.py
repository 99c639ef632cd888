"""Where photographs wait until it is known that a data set comes of them.

A hidden folder of the uploads, locked while its crop job lives; a killed job's folder is taken away by the
next one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dreamgui.data.photos import MAX_PHOTOS, expand, shown_name
from dreamgui.data.unpack import Member, is_zip, unpack
from dreamgui.errors import BadPhoto, OutOfRange

_PREFIX, _LOCK = ".incoming-", ".lock"


@contextmanager
def incoming(uploads: Path) -> Generator[Path, None, None]:
    """A new folder for one job, taken away at the end; what should stay is moved out of it before."""
    _sweep(uploads)
    folder = Path(tempfile.mkdtemp(dir=uploads, prefix=_PREFIX))
    lock = FileLock(folder / _LOCK)
    lock.acquire()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(uploads: Path) -> None:
    """Take away the folders whose job no longer lives."""
    for folder in uploads.glob(f"{_PREFIX}*"):
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def gather(photos: Iterable[Path], folder: Path) -> list[Member]:
    """The photographs that these paths mean: files, those in folders, and those in zip files.

    Args:
        photos: the user's paths.
        folder: where zips are unpacked.

    Returns:
        Each with its shown name, and a path or the reason why there is none.

    Raises:
        OutOfRange: there are more than 2,000.
    """
    members: list[Member] = []
    for number, path in enumerate(expand(photos)):
        if is_zip(path):
            members += _of_zip(path, folder / f"{number:04d}")
        else:
            members.append(Member(shown_name(path), path))
        if len(members) > MAX_PHOTOS:
            raise OutOfRange(f"There are more than {MAX_PHOTOS:,} photographs.", "Choose fewer.")
    return members


def _of_zip(path: Path, folder: Path) -> list[Member]:
    try:
        members = list(unpack(path, folder))
    except BadPhoto as error:
        return [Member(shown_name(path), None, error.what)]
    return members or [Member(shown_name(path), None, f"{shown_name(path)} holds no pictures.")]
