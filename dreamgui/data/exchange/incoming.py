"""Waiting room of photographs until a dataset comes of them.

A hidden folder of the uploads, locked while its crop job lives; a killed job's folder is taken away by the
next one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from dreamgui.data.dataset.takeover import ROWS
from dreamgui.data.exchange.beside import CAPTION_SUFFIXES, Read, caption_beside, class_folders
from dreamgui.data.exchange.packed import MAX_SHEET_BYTES
from dreamgui.data.photos.found import describe_passed_over, look_through
from dreamgui.data.photos.load import MAX_PHOTOS, PICTURE_SUFFIXES, shown_name
from dreamgui.data.photos.unpack import Member, is_zip, small_files, unpack
from dreamgui.errors import BadPhoto, OutOfRange

_PREFIX, _LOCK = ".incoming-", ".lock"


@contextmanager
def incoming(uploads: Path) -> Generator[Path, None, None]:
    """A new folder for one job, taken away at the end. What should stay is moved out of it before."""
    _clean_up(uploads)
    folder = Path(tempfile.mkdtemp(dir=uploads, prefix=_PREFIX))
    lock = FileLock(folder / _LOCK)
    lock.acquire()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _clean_up(uploads: Path) -> None:
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
        Each with its shown name, a path or the reason why there is none, and the caption beside it; names that
        repeat are told with their folder. The last one may count what was passed over in folders.

    Raises:
        OutOfRange: there are more than 2,000.
    """
    members: list[Member] = []
    found = look_through(photos)
    files = list(found.files)
    read = _reader(files)
    for number, path in enumerate(_without_captions(files)):
        if is_zip(path):
            members += _of_zip(path, folder / f"{number:04d}")
        else:
            origin = PurePosixPath(path)
            home = shown_name(path.parent)
            members.append(Member(shown_name(path), path, "", origin, caption_beside(origin, read), home))
        if len(members) > MAX_PHOTOS:
            raise OutOfRange(f"There are more than {MAX_PHOTOS:,} photographs.", "Choose fewer.")
    if found.passed_over:
        members.append(Member("folders", None, describe_passed_over(found.passed_over)))
    return tell_apart(members)


def tell_apart(members: list[Member]) -> list[Member]:
    """The same members with names of which no two are equal: by their folders, else by numbers."""
    shown = Counter(member.name for member in members)
    named = [
        replace(member, name=f"{member.folder}/{member.name}"[-120:])
        if shown[member.name] > 1 and member.folder
        else member
        for member in members
    ]
    taken: Counter[str] = Counter()
    for index, member in enumerate(named):
        taken[member.name] += 1
        if (number := taken[member.name]) > 1:
            named[index] = replace(member, name=f"{member.name} ({number})")
    return named


def _of_zip(path: Path, folder: Path) -> list[Member]:
    try:
        with small_files(path) as read:
            members = [
                replace(member, caption=caption_beside(member.origin, read)) if member.path else member
                for member in unpack(path, folder)
            ]
    except BadPhoto as error:
        return [Member(shown_name(path), None, error.what)]
    return members or [Member(shown_name(path), None, f"{shown_name(path)} holds no pictures.")]


def _without_captions(files: Sequence[Path]) -> list[Path]:
    """The files without those that hold captions of others among them."""
    stems = {file.stem for file in files if file.suffix.lower() in PICTURE_SUFFIXES}
    names = {file.name for file in files if file.suffix.lower() in PICTURE_SUFFIXES}
    return [
        file
        for file in files
        if not (file.suffix in CAPTION_SUFFIXES and (file.stem in stems or file.stem in names))
        and not (stems and file.name == ROWS)
    ]


def _reader(files: Sequence[Path]) -> Read:
    """A reader of what lies beside the files on the disk, or of files of that name among them: a page keeps
    each upload in a folder of its own."""
    given = {file.name: file for file in files if file.suffix in CAPTION_SUFFIXES or file.name == ROWS}

    @cache
    def read(path: PurePosixPath) -> bytes | None:
        for place in (Path(path), given.get(path.name)):
            if place and place.is_file() and place.stat().st_size <= MAX_SHEET_BYTES:
                return place.read_bytes()
        return None

    return read


def without_class_pictures(members: Sequence[Member]) -> tuple[list[Member], str]:
    """The members without the class pictures of kohya's layout, and a sentence that says so, else empty."""
    pairs = class_folders([member.origin for member in members])
    left = [member for member in members if member.origin.parent not in pairs]
    named = ", ".join(
        f"{folder.name!r} (beside {subject.name!r})" for folder, subject in sorted(pairs.items())
    )
    remark = (
        f"{len(members) - len(left)} class pictures were left out of the subject: {named}. Name their folder "
        "as the training's class folder to train with them."
    )
    return left, remark if pairs else ""
