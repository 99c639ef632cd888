"""Finished work, kept on a mount that outlives this machine's disk, such as a Space's storage bucket.

The workspace is on the local disk, and its finished items are copied to a :class:`dreamgui.services.store.Store`. Another
server may keep its work there too, as a Space that is being built anew runs beside the old one.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from dreamgui.errors import BadInput
from dreamgui.services.store import Files, Manifest, Store
from dreamgui.visitors import SEEN, has_account
from dreamgui.workspace import EXPORTS

FOLDER = "dreamgui-kept"
LOOK_SECONDS = 30.0
_SHELVES = ("datasets", "models", "runs", "reports", "pictures", EXPORTS)
_LEFT_OUT = ("checkpoints", ".lock")
"""A finished run needs none, and they are its largest part."""
_SPACE_MOUNT = Path("/data")
_log = logging.getLogger(__name__)


def place_to_keep(root: Path) -> Path | None:
    """Return where a workspace's finished work is kept, or None where there is no such place.

    DREAMGUI_KEEP names it; a Space takes what is mounted at /data, unless its workspace itself lies there.
    """
    if (given := os.environ.get("DREAMGUI_KEEP")) is not None:
        return Path(given).expanduser() / FOLDER if given else None
    usable = os.environ.get("SPACE_ID") and os.access(_SPACE_MOUNT, os.W_OK)
    return _SPACE_MOUNT / FOLDER if usable and not root.is_relative_to(_SPACE_MOUNT) else None


class Keeper:
    """Mirrors finished items of a workspace, and of its visitors with an account, to a store.

    Args:
        root: the workspace's folder, with visitors' below ``visitors``.
        store: a folder on the mount; made here.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, root: Path, store: Path) -> None:
        self._root, self._store = root, Store(store)
        self._turn = threading.Lock()
        self._seen: dict[str, Files] = {}
        self._known: set[str] = set()
        """Places that were in the workspace since the start. Only these can have been deleted in it."""

    def restore(self) -> list[str]:
        """Put back what is kept and isn't in the workspace. Remove copies that a kill left unfinished.

        Returns:
            the places that were restored, such as ``runs/anna``.
        """
        restored = []
        for place, manifest in sorted(self._store.clean_up().items()):
            if not (self._root / place).exists():
                try:
                    self._put_back(manifest)
                except OSError as error:
                    _log.warning("%s is kept, but can't be restored: %s", place, error)
                    continue
                restored.append(place)
            self._known.add(place)
        return restored

    def keep(self) -> list[str]:
        """Copy what is finished and hasn't changed since the last call. Remove what the workspace has no more.

        Returns:
            the places that were copied or removed.

        Raises:
            OSError: the mount can't be written; the next call tries again.
        """
        with self._turn:
            now = {place: _files(self._root / place) for place in self._places()}
            kept = self._store.kept()
            self._known |= now.keys()
            changed = [
                place
                for place, files in now.items()
                if files and files == self._seen.get(place) and files != kept.get(place, {}).get("files")
            ]
            # What isn't read for now, or trains again, is there.
            gone = [place for place in kept.keys() & self._known if not os.path.lexists(self._root / place)]
            self._seen = now
            for place in gone:
                self._store.remove(kept[place])
            copied, failure = [], None
            for place in changed:
                try:
                    if self._copy(place, now[place], kept.get(place)):
                        copied.append(place)
                except OSError as error:
                    failure = error
        if failure:
            raise failure
        return [*copied, *gone]

    def watch(self) -> None:
        """Call :meth:`keep` every 30 s from a thread that ends with the program."""

        def look() -> None:
            while True:
                try:
                    self.keep()
                except OSError as error:
                    _log.warning("finished work can't be kept for now: %s", type(error).__name__)
                time.sleep(LOOK_SECONDS)

        threading.Thread(target=look, name="keep-finished-work", daemon=True).start()

    def forget(self, visitor: str) -> None:
        """Remove all that is kept of a visitor, now."""
        with self._turn:
            for place, manifest in self._store.kept().items():
                if PurePosixPath(place).parts[:2] == ("visitors", visitor):
                    self._store.remove(manifest)

    def _places(self) -> Iterator[str]:
        yield from self._finished(self._root)
        for home in (self._root / "visitors").glob("*-*"):
            places = list(self._finished(home)) if has_account(home.name) else []
            yield from places
            # With it a restart is no visit: else nothing would ever expire.
            if places and (home / SEEN).is_file():
                yield (home / SEEN).relative_to(self._root).as_posix()

    def _finished(self, home: Path) -> Iterator[str]:
        for shelf in _SHELVES:
            for path in (home / shelf).glob("[!.]*"):
                if shelf != "runs" or _is_finished(path):
                    yield path.relative_to(self._root).as_posix()

    def _copy(self, place: str, files: Files, before: Manifest | None) -> bool:
        """Copy an item, then its manifest. Return False where it changed meanwhile."""
        source = self._root / place
        manifest = self._store.new(place, files, single=not source.is_dir())
        try:
            for name in files:
                target = self._store.content(manifest) / name
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copyfile(source / name if source.is_dir() else source, target)
            whole = _files(source) == files and self._store.add(manifest)
        except FileNotFoundError:
            whole = False
        except OSError:
            self._store.remove(manifest)
            raise
        if stale := before if whole else manifest:
            self._store.remove(stale)
        return whole

    def _put_back(self, manifest: Manifest) -> None:
        target, source = self._root / manifest["place"], self._store.content(manifest)
        with tempfile.TemporaryDirectory(dir=_made(target.parent), prefix=".kept-") as folder:
            whole = Path(folder) / "item"
            for name, (size, changed) in manifest["files"].items():
                path = whole / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copyfile(source / name, path)
                if path.stat().st_size != size:
                    raise OSError(f"{name} is not whole")
                os.utime(path, ns=(changed, changed))
            os.replace(whole / target.name if manifest["single"] else whole, target)


def keeper_of(root: Path) -> Keeper | None:
    """Return what keeps a workspace's finished work on a mount, once what is kept there is back, and print where.

    Returns:
        None where there is no mount.

    Raises:
        BadInput: the mount that DREAMGUI_KEEP names can't be written.
    """
    store = place_to_keep(root)
    if store is None:
        return None
    try:
        keeper = Keeper(root, store)
    except OSError as error:
        raise BadInput(
            f"Finished work can't be kept at {store}: {error.strerror or error}.",
            "Set DREAMGUI_KEEP to a folder that you may write in, or to nothing.",
        ) from error
    restored = [place for place in keeper.restore() if not place.endswith(f"/{SEEN}")]
    print(f"Finished work is kept at {store}; {len(restored)} items were restored from there.", flush=True)
    return keeper


def _files(path: Path) -> Files:
    """Return an item's files. One that vanishes meanwhile gives none: it is looked at again."""
    try:
        if not path.is_dir():
            return {path.name: _stamp(path)}
        return {
            file.relative_to(path).as_posix(): _stamp(file)
            for file in sorted(path.rglob("*"))
            if file.is_file()
            and not file.is_symlink()
            and not set(file.relative_to(path).parts) & set(_LEFT_OUT)
        }
    except OSError:
        return {}


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _is_finished(run: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return bool(json.loads((run / "run.json").read_bytes()).get("finished"))
    return False
