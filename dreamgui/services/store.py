"""Copies of items on a mount that is object storage: no locks, no renames of folders, files written from front to end.

    items/DIGEST-HEX.json   place in the workspace, folder below store/, files with bytes and time of change
    store/HEX/              the item's files

An item is copied under a fresh name. Its manifest, one small file, is written last and never written over. What no
manifest names doesn't count.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

_log = logging.getLogger(__name__)
Files = dict[str, list[int]]
"""Bytes and time of change, in ns since 1970, by path below the item."""
Manifest = dict[str, Any]


class Store:
    """A folder on a mount, made here.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self._items, self._contents = folder / "items", folder / "store"
        for each in (self._items, self._contents):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)

    def kept(self) -> dict[str, Manifest]:
        """Return the manifests by place.

        Raises:
            OSError: one can't be read for now.
        """
        return self._latest(each for path in self._items.glob("*.json") if (each := _read(path)))

    def clean_up(self) -> dict[str, Manifest]:
        """Remove what a kill left unfinished. Return the manifests by place, without those that can't be read."""
        found, certain = [], True
        for path in self._items.glob("*.json"):
            try:
                manifest = _read(path)
            except OSError as error:
                certain = False
                _log.warning("a manifest can't be read, and what it names isn't restored: %s", error)
                continue
            if manifest:
                found.append(manifest)
            else:
                path.unlink(missing_ok=True)
        kept = self._latest(found)
        named = {manifest["folder"] for manifest in kept.values()}
        # A manifest that can't be read may name any of the others.
        for folder in self._contents.iterdir() if certain else ():
            if folder.name not in named:
                shutil.rmtree(folder, ignore_errors=True)
        return kept

    def new(self, place: str, files: Files, single: bool) -> Manifest:
        """Return the manifest of an item that is to be copied to :meth:`content`."""
        folder = secrets.token_hex(16)
        digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()
        path = self._items / f"{digest[:32]}-{folder}.json"
        about = {"place": place, "folder": folder, "files": files, "single": single}
        return {**about, "written": time.time(), "path": path}

    def content(self, manifest: Manifest) -> Path:
        """Return the folder with an item's files."""
        return self._contents / manifest["folder"]

    def add(self, manifest: Manifest) -> bool:
        """Write the manifest of an item that is copied. Return whether it and the files are there.

        The start of another server may have removed them meanwhile, as what a kill left.
        """
        path: Path = manifest["path"]
        text = json.dumps({name: value for name, value in manifest.items() if name != "path"})
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        content = self.content(manifest)
        return path.is_file() and all((content / name).is_file() for name in manifest["files"])

    def remove(self, manifest: Manifest) -> None:
        """Remove an item's copy."""
        manifest["path"].unlink(missing_ok=True)
        shutil.rmtree(self.content(manifest), ignore_errors=True)

    def _latest(self, manifests: Iterable[Manifest]) -> dict[str, Manifest]:
        """Return manifests by place. Of two of a place, as a kill may leave them, the earlier one is removed."""
        kept: dict[str, Manifest] = {}
        for manifest in sorted(manifests, key=lambda each: each["written"]):
            if earlier := kept.get(manifest["place"]):
                self.remove(earlier)
            kept[manifest["place"]] = manifest
        return kept


def _read(path: Path) -> Manifest | None:
    """Return a manifest, or None for one that isn't whole or leads out of the workspace.

    Raises:
        OSError: it can't be read for now.
    """
    content = path.read_bytes()
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        manifest = json.loads(content.decode("utf-8", errors="surrogatepass"))
        names = [manifest["place"], manifest["folder"], *manifest["files"].keys()]
        single, written = bool(manifest["single"]), float(manifest.get("written", 0))
        if all(
            name and not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
            for name in names
        ):
            return {**manifest, "single": single, "written": written, "path": path}
    return None
