"""Finished work, kept on a mount that outlives this machine's disk, such as a Space's storage bucket.

    STORE/items/DIGEST.json   place in the workspace, folder below store/, files with bytes and time of change
    STORE/store/HEX/          the item's files

Such a mount is object storage: no locks, no renames of folders, files written once from front to end. So the
workspace is on the local disk; an item is copied under a fresh name, and its manifest, one small file, is written last. What no manifest names
doesn't count.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from dreamgui.errors import BadInput
from dreamgui.visitors import has_account
from dreamgui.workspace import EXPORTS

FOLDER = "dreamgui-kept"
LOOK_SECONDS = 30.0
_SHELVES = ("datasets", "models", "runs", "reports", "pictures", EXPORTS)
_LEFT_OUT = ("checkpoints", ".lock")
"""A finished run needs none, and they are its largest part."""
_SPACE_MOUNT = Path("/data")
_log = logging.getLogger(__name__)
Files = dict[str, list[int]]
"""Bytes and time of change, in ns since 1970, by path below the item."""


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
        self._root, self._items, self._store = root, store / "items", store / "store"
        for folder in (self._items, self._store):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._turn = threading.Lock()
        self._seen: dict[str, Files] = {}
        self._not_restored: set[str] = set()

    def restore(self) -> list[str]:
        """Put back what is kept and isn't in the workspace. Remove copies that a kill left unfinished.

        Returns:
            the places that were restored, such as ``runs/anna``.
        """
        restored, named = [], set()
        for path in sorted(self._items.glob("*.json")):
            manifest = _read(path)
            if manifest is None:
                continue
            named.add(manifest["folder"])
            place = manifest["place"]
            if (self._root / place).exists():
                continue
            try:
                self._put_back(place, self._store / manifest["folder"], manifest["files"], manifest["single"])
                restored.append(place)
            except OSError as error:
                self._not_restored.add(place)
                _log.warning("%s is kept, but can't be restored: %s", place, error)
        for folder in self._store.iterdir():
            if folder.name not in named:
                shutil.rmtree(folder, ignore_errors=True)
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
            kept = {
                manifest["place"]: manifest for manifest in map(_read, self._items.glob("*.json")) if manifest
            }
            changed = [
                place
                for place, files in now.items()
                if files and files == self._seen.get(place) and files != kept.get(place, {}).get("files")
            ]
            gone = [place for place in kept if place not in now and place not in self._not_restored]
            self._seen = now
            for place in gone:
                self._remove(kept[place])
            copied = [place for place in changed if self._copy(place, now[place], kept.get(place))]
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
            for path in self._items.glob("*.json"):
                manifest = _read(path)
                if manifest and PurePosixPath(manifest["place"]).parts[:2] == ("visitors", visitor):
                    self._remove(manifest)

    def _places(self) -> Iterator[str]:
        visitors = [path for path in (self._root / "visitors").glob("*-*") if has_account(path.name)]
        for home in (self._root, *visitors):
            for shelf in _SHELVES:
                for path in (home / shelf).glob("[!.]*"):
                    if shelf != "runs" or _is_finished(path):
                        yield path.relative_to(self._root).as_posix()

    def _copy(self, place: str, files: Files, before: dict[str, Any] | None) -> bool:
        """Copy an item, then its manifest. Return False where it changed meanwhile."""
        source, folder = self._root / place, secrets.token_hex(16)
        try:
            for name in files:
                target = self._store / folder / name
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copyfile(source / name if source.is_dir() else source, target)
        except FileNotFoundError:
            files = {}
        if not files or _files(source) != files:
            shutil.rmtree(self._store / folder, ignore_errors=True)
            return False
        manifest = {"place": place, "folder": folder, "files": files, "single": not source.is_dir()}
        self._manifest(place).write_text(json.dumps(manifest), encoding="utf-8", errors="surrogatepass")
        if before:
            shutil.rmtree(self._store / before["folder"], ignore_errors=True)
        return True

    def _put_back(self, place: str, source: Path, files: Files, single: bool) -> None:
        target = self._root / place
        with tempfile.TemporaryDirectory(dir=_made(target.parent), prefix=".kept-") as folder:
            whole = Path(folder) / "item"
            for name, (size, changed) in files.items():
                path = whole / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copyfile(source / name, path)
                if path.stat().st_size != size:
                    raise OSError(f"{name} is not whole")
                os.utime(path, ns=(changed, changed))
            os.replace(whole / target.name if single else whole, target)

    def _remove(self, manifest: dict[str, Any]) -> None:
        self._manifest(manifest["place"]).unlink(missing_ok=True)
        shutil.rmtree(self._store / manifest["folder"], ignore_errors=True)

    def _manifest(self, place: str) -> Path:
        return self._items / f"{hashlib.sha256(place.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.json"


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
    restored = keeper.restore()
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
    with suppress(OSError, ValueError):
        return bool(json.loads((run / "run.json").read_bytes()).get("finished"))
    return False


def _read(path: Path) -> dict[str, Any] | None:
    """Return a manifest, or None for one that isn't whole or leads out of the workspace."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        manifest = json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))
        names = [manifest["place"], manifest["folder"], *manifest["files"]]
        manifest["single"] = bool(manifest["single"])
        if all(
            name and not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
            for name in names
        ):
            return manifest
    return None
