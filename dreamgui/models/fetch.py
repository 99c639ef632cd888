"""A source made a file or folder on this machine: put together, found, or downloaded."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from dreamgui.events import Event, Note
from dreamgui.models import civitai, demo_bundle, hub
from dreamgui.models.components import WEIGHTS
from dreamgui.models.download import Remote, download
from dreamgui.models.sources import DEMO, BundledModel, CivitaiModel, HubModel, LocalPath, Source
from dreamgui.workspace import EXPORTS, Workspace

STALE_SECONDS = 86_400.0
_DOWNLOAD = ".download."


@dataclass(frozen=True)
class Fetched:
    """A model as it came.

    Attributes:
        path: a file, or a diffusers folder.
        told: the source, pinned: a file's name, "owner/name@commit", "civitai:VERSION:FILE".
        sha256: its hash where the download told it, else "".
        wish: a name for the model.
        temporary: a folder that is to be removed once the model is converted or refused; None if there is none.
    """

    path: Path
    told: str
    wish: str
    sha256: str = ""
    temporary: Path | None = None


def fetch(source: Source, token: str, workspace: Workspace) -> Generator[Event, None, Fetched]:
    """Bring a source onto this machine.

    Args:
        token: an access token of the source's site, or "".

    Raises:
        BadInput, BadModelFile, NotEnoughDisk: it can't be had; the message says why.
    """
    if isinstance(source, BundledModel):
        path = demo_bundle.assemble(workspace.place("uploads", DEMO) / demo_bundle.MODEL_FILE)
        return Fetched(path, DEMO, path.stem)
    if isinstance(source, LocalPath):
        path = source.path.resolve()
        return Fetched(path, path.name, path.stem if path.is_file() else path.name)
    if isinstance(source, CivitaiModel):
        remote, told = civitai.find_file(source, token)
        folder = _folder(workspace, told)
        path, digest = yield from _one(remote, folder / "model", workspace)
        return Fetched(path, told, Path(remote.name).stem, digest, folder)
    return (yield from _from_hub(source, token, workspace))


def _from_hub(source: HubModel, token: str, workspace: Workspace) -> Generator[Event, None, Fetched]:
    files = hub.find_files(source, token)
    folder = _folder(workspace, files.told)
    yield Note(f"{source.repo} at commit {files.told.split('@')[1].split(':')[0][:12]}.")
    digests = {}
    for place, remote in files.remotes.items():
        _, digests[place] = yield from _one(remote, folder / place, workspace)
    wish = Path(files.single).stem or source.repo.split("/")[1]
    if files.single:
        path = files.cached.get(files.single, folder / files.single)
        return Fetched(path, files.told, wish, digests.get(files.single, ""), folder)
    for place, cached in files.cached.items():
        link = folder / place
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(cached.resolve())
    return Fetched(folder, files.told, wish, digests.get(WEIGHTS["unet"], ""), folder)


def _one(remote: Remote, target: Path, workspace: Workspace) -> Generator[Event, None, tuple[Path, str]]:
    """A file's place and hash; one that an interrupted conversion left whole isn't fetched again."""
    if target.is_file():
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == remote.sha256:
            return target, digest
    return target, (yield from download(remote, target, workspace))


def _folder(workspace: Workspace, told: str) -> Path:
    """Where a download waits for its conversion: the same folder for the same source, so that it can go on."""
    folder = workspace.root / "models" / f"{_DOWNLOAD}{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    return folder


def sweep(workspace: Workspace) -> list[Path]:
    """Remove half-written and half-fetched models and exports that a killed program left, once nothing in them has
    changed for a day.

    Returns:
        the removed folders.
    """
    swept = []
    for folder in (*(workspace.root / "models").glob(".*"), *(workspace.root / EXPORTS).glob(".*")):
        if folder.is_dir() and not folder.is_symlink() and time.time() - _changed(folder) > STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
            swept.append(folder)
    return swept


def _changed(folder: Path) -> float:
    """When anything in a folder last changed; what vanishes meanwhile belongs to a living program."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()
