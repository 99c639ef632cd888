"""Places of a user's work: the only place where names become paths and where files that matter are written.

datasets/NAME   crops, captions, dataset.json        runs/NAME     trained weights, checkpoints, run.json
models/NAME     diffusers folders                    reports/NAME  comparisons, ControlNet pictures
classes/KEY     class images, kept for the next run  jobs/ID       job.json, events.jsonl, images
uploads/ID      photographs as they came              exports/NAME  files, made when first needed
pictures/DAY    generated pictures, a file each
compiled/       what torch.compile made, for the next training
trash/ID        deleted items, for 30 days (dreamgui/library/trash.py)
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, get_args

from platformdirs import user_data_path

from dreamgui.claims import Claims
from dreamgui.errors import BadInput, NotEnoughDisk, UnknownName
from dreamgui.names import ascii_name, composed, numbered_names, safe_name, same_folder
from dreamgui.serving import private_folder
from dreamgui.sizes import file_size

Shelf = Literal["datasets", "models", "runs", "reports", "classes", "jobs", "uploads", "pictures"]
SHELVES: tuple[Shelf, ...] = get_args(Shelf)
EXPORTS = "exports"
_COMPILED = "compiled"
REPLACED, WAS = ".old.", "was"
"""In the hidden name of a folder that makes room for its successor, and its place in there."""
SPARE_BYTES = 100_000_000
_FULL = {errno.ENOSPC, errno.EDQUOT}
_SPACE_DISK = Path("/data")
_ABANDONED_SECONDS = 24 * 3600
"""An empty folder this old was claimed by a program that is gone."""


def default_root() -> Path:
    """DREAMGUI_HOME, else what an earlier version made on a Space's lasting disk, else the user's data folder.

    What a Space mounts now is object storage: finished work is copied there (:mod:`dreamgui.services.keeping`).
    """
    if home := os.environ.get("DREAMGUI_HOME"):
        return Path(home).expanduser()
    earlier = _SPACE_DISK / "dreamgui"
    if os.environ.get("SPACE_ID") and (earlier / "jobs").is_dir() and os.access(earlier, os.W_OK):
        return earlier
    return user_data_path("dreamgui", appauthor=False)


class Workspace:
    """The folder that holds a user's work.

    Args:
        root: the folder; the user's default one unless given.
        shared: a workspace whose base models are found here too, to read: :meth:`place` and :meth:`fresh` never give them.
        room: returns the bytes that may still be written, whatever the disk has; a training's workers don't ask it.

    Raises:
        BadInput, NotEnoughDisk: it can't be made or written.
    """

    def __init__(
        self,
        root: Path | None = None,
        shared: Workspace | None = None,
        room: Callable[[], int] | None = None,
    ) -> None:
        self.root = (root or default_root()).resolve()
        self._shared, self._room = shared, room
        self._claims = Claims(self.root)
        try:
            with report_full_disk(self.root):
                self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
                there = [name for name in (EXPORTS, _COMPILED, "trash") if (self.root / name).is_dir()]
                for folder in (*SHELVES, *there):
                    private_folder(self.root / folder)
        except OSError as error:
            raise _unusable(self.root, error.strerror or str(error)) from error
        if not os.access(self.root, os.W_OK):
            raise _unusable(self.root, "it can't be written")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_room": None}

    @property
    def compiled(self) -> Path:
        """Return where the compiler keeps what it makes. Code is loaded from there: the workspace is its user's alone."""
        return self.root / _COMPILED

    def place(self, shelf: Shelf, name: str) -> Path:
        """Return the folder of this name on this shelf, whether or not it exists yet.

        A folder that a user or another system named may have any letters, decomposed ones among them.
        """
        there = {composed(path.name): path for path in self._folders(shelf)}
        if found := there.get(composed(name)):
            return found
        safe = safe_name(name)
        return there.get(safe) or self.root / shelf / safe

    def find(self, shelf: Shelf, name: str) -> Path:
        """Return the existing folder of this name.

        Raises:
            UnknownName: there is none; the message lists those that exist.
        """
        folder = self.place(shelf, name) if name else self.root / shelf / "?"
        if not folder.is_dir() and composed(name) in self._shared_names(shelf):
            assert self._shared is not None
            return self._shared.find(shelf, name)
        if not folder.is_dir():
            known = ", ".join(self.names(shelf)) or "none yet"
            raise UnknownName(f"There is no {shelf.rstrip('s')} named {name!r}.", f"Known: {known}.")
        return folder

    def names(self, shelf: Shelf) -> list[str]:
        """Return the names on this shelf, oldest first. Half-written and empty folders don't count."""
        folders = [path for path in self._folders(shelf) if _holds_files(path)]
        ordered = sorted(folders, key=lambda path: (path.stat().st_ctime_ns, path.name))
        return list(dict.fromkeys([*self._shared_names(shelf), *(composed(path.name) for path in ordered)]))

    def has_any(self, shelf: Shelf) -> bool:
        """Return whether a name stands on this shelf. It looks at the first folder that holds files, however many there are."""
        return any(map(_holds_files, self._folders(shelf))) or bool(self._shared_names(shelf))

    def _shared_names(self, shelf: Shelf) -> list[str]:
        """Return the names of the shared base models. Nothing else is shared."""
        return self._shared.names(shelf) if self._shared is not None and shelf == "models" else []

    def fresh(self, shelf: Shelf, wanted: str) -> str:
        """Claim the wanted name, made safe, with -2, -3... behind it when taken.

        The name's folder is made here, empty, by this call alone: no other job, in whichever process, gets the
        same one. :meth:`release_unused` takes it away again where nothing came of it.

        Raises:
            BadInput: nothing usable is left of the wanted name.
            OSError: no folder can be made there.
        """
        with self._claims.turn():
            there = [path.name for path in (self.root / shelf).iterdir() if not _is_abandoned(path)]
            taken = set(map(same_folder, there))
            free = (name for name in numbered_names(safe_name(wanted)) if same_folder(name) not in taken)
            return next(claimed for name in free if (claimed := self._claim(shelf, name)))

    def release_unused(self) -> None:
        """Take away the folders that :meth:`fresh` made in this thread and that are still empty."""
        self._claims.release()

    def _claim(self, shelf: Shelf, name: str) -> str:
        """Make the folder of this name, or the empty text where another one was faster."""
        folder = self.root / shelf / name
        try:
            with suppress(FileNotFoundError):
                if _is_abandoned(folder):
                    folder.rmdir()
            return name if self._claims.make(folder) else ""
        except (OSError, UnicodeEncodeError):
            # Some file systems take ASCII only.
            if name.isascii():
                raise
            return self.fresh(shelf, ascii_name(name))

    def _folders(self, shelf: Shelf) -> list[Path]:
        """The folders on a shelf. Stray files and what is being written don't count."""
        return [path for path in (self.root / shelf).iterdir() if path.is_dir() and path.name[0] != "."]

    def require_space(self, need_bytes: int, what: str = "This") -> None:
        """Raise NotEnoughDisk unless this many bytes (and 100 MB to spare) fit on the disk. ``what`` begins its sentence."""
        disk = shutil.disk_usage(self.root).free
        free = min(disk, self._room()) if self._room else disk
        if free < need_bytes + SPARE_BYTES:
            raise NotEnoughDisk(
                f"{what} needs {file_size(need_bytes + SPARE_BYTES)} on the disk; {self.root} has {file_size(free)}.",
                "Delete runs you no longer need, or set DREAMGUI_HOME to a larger disk.",
            )


def _holds_files(folder: Path) -> bool:
    """Return whether there is more in a folder than what a job that was killed at its beginning leaves: locks and folders."""
    return any(path.is_file() for path in folder.rglob("[!.]*"))


def _is_abandoned(path: Path) -> bool:
    """Return whether this is an empty folder that was claimed long ago."""
    if not path.is_dir() or time.time() - path.stat().st_mtime < _ABANDONED_SECONDS:
        return False
    return not any(path.iterdir())


def _unusable(root: Path, reason: str) -> BadInput:
    return BadInput(
        f"The workspace {root} can't be used: {reason}.",
        "Set DREAMGUI_HOME to a folder that you may write in.",
    )


def is_disk_full(error: BaseException) -> bool:
    """Return whether this error, of whatever library, says that the disk or the user's share of it is full."""
    return getattr(error, "errno", None) in _FULL or "No space left" in str(error)


def not_enough_disk(path: Path, need_bytes: float = 0, next_step: str = "") -> NotEnoughDisk:
    """The error for a file or folder that found no room. ``need_bytes`` is 0 where that isn't known."""
    there = next((folder for folder in (path, *path.parents) if folder.exists()), Path())
    free = file_size(shutil.disk_usage(there).free)
    need = f"{path} needs {file_size(need_bytes)}" if need_bytes else f"{path} can't be written"
    return NotEnoughDisk(
        f"The disk is full: {need}; {free} are free.", next_step or "Make room and start again."
    )


@contextmanager
def report_full_disk(
    path: Path, need_bytes: float = 0, next_step: str = "", library_error: type[Exception] = OSError
) -> Generator[None, None, None]:
    """Turn the error of the system, or of a library, for a full disk into NotEnoughDisk, which names what was written."""
    try:
        yield
    except (OSError, library_error) as error:
        if is_disk_full(error):
            raise not_enough_disk(path, need_bytes, next_step) from error
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary name beside the target, flush, then rename: a reader sees the old or the new, never half.

    Raises:
        NotEnoughDisk: the disk is full; the old file is as it was.
    """
    with report_full_disk(path, len(data)):
        _write_atomic(path, data)


def _write_atomic(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Any) -> None:
    """JSON, written atomically, readable for people."""
    write_atomic(
        path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
    )


def read_json(path: Path) -> Any:
    """Return what :func:`write_json` wrote."""
    return json.loads(path.read_bytes())


@contextmanager
def new_folder(target: Path, need_bytes: float = 0, next_step: str = "") -> Generator[Path, None, None]:
    """Fill a temporary folder beside the target. It takes the target's place only when the block ends well.

    Raises:
        NotEnoughDisk: the disk is full; what was at the target is as it was.
    """
    with report_full_disk(target, need_bytes, next_step), _new_folder(target) as folder:
        yield folder


@contextmanager
def _new_folder(target: Path) -> Generator[Path, None, None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb+") as handle:
                    os.fsync(handle.fileno())
        if target.exists():
            old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}{REPLACED}"))
            os.replace(target, old / WAS)
            os.replace(temporary, target)
            shutil.rmtree(old)
        else:
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
