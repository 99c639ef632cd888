"""Claims on names: a lock each that dies with the program, so that a killed job's empty folder takes no name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_FOLDER = ".claims"
_BETWEEN = "@"


class Claims:
    """The claims that this program holds on folders of a home, told from those of programs that died."""

    def __init__(self, root: Path) -> None:
        self._root, self._folder = root, root / _FOLDER
        self._held: dict[Path, tuple[int, FileLock]] = {}
        self._turn = FileLock(self._folder / ".turn")

    def __getstate__(self) -> Path:
        return self._root

    def __setstate__(self, root: Path) -> None:
        self.__init__(root)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the turn to claim. One thread of one program has it. Claims of programs that died are gone then.

        Raises:
            OSError: no lock can be made in the home.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with self._turn:
            self._sweep()
            yield

    def make(self, folder: Path) -> bool:
        """Make and claim a folder, ``SHELF/NAME`` below the home. Only who has the turn may.

        Returns:
            Whether neither the folder nor another's claim on it was there.

        Raises:
            OSError, UnicodeEncodeError: it can't be made.
        """
        place = self._folder / self._name(folder)
        lock = FileLock(place, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        try:
            folder.mkdir()
        except (OSError, UnicodeEncodeError) as error:
            lock.release()
            place.unlink(missing_ok=True)
            if isinstance(error, FileExistsError):
                return False
            raise
        self._held[folder] = (threading.get_ident(), lock)
        return True

    def release(self) -> None:
        """Take away this thread's folders that are still empty. Release their claims, and those of used folders."""
        for folder, (owner, _) in list(self._held.items()):
            # A page's import ends while a job of the same program still needs its folders.
            if owner == threading.get_ident():
                with suppress(OSError):
                    folder.rmdir()
            if owner == threading.get_ident() or _is_used(folder):
                self._forget(folder)

    def _forget(self, folder: Path) -> None:
        """Release a claim. Its file stays for the next sweep, as it may be another's by then."""
        if held := self._held.pop(folder, None):
            held[1].release()

    @staticmethod
    def _name(folder: Path) -> str:
        return f"{folder.parent.name}{_BETWEEN}{folder.name}"

    def _sweep(self) -> None:
        """Take away claims that no living program holds, and their folders that are still empty."""
        for folder in filter(_is_used, list(self._held)):
            self._forget(folder)
        for claim in self._folder.glob(f"*{_BETWEEN}*"):
            lock = FileLock(claim, timeout=0)
            with suppress(Timeout, OSError), lock:
                shelf, _, name = claim.name.partition(_BETWEEN)
                with suppress(OSError):
                    (self._root / shelf / name).rmdir()
                claim.unlink(missing_ok=True)


def _is_used(folder: Path) -> bool:
    """Return whether a claimed folder needs its claim no more: it holds something, or was taken away."""
    try:
        return any(folder.iterdir())
    except OSError:
        return True
