"""A source made a file or folder on this machine: put together, found, or downloaded."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from dreamgui.errors import BadInput
from dreamgui.events import Event, Note
from dreamgui.models.files.part_files import shard_names
from dreamgui.models.recognition.components import WEIGHTS
from dreamgui.models.sources import civitai, demo_bundle, hub
from dreamgui.models.sources.download import Remote, download
from dreamgui.models.sources.source import DEMO, BundledModel, CivitaiModel, HubModel, LocalPath, Source
from dreamgui.workspace import Workspace

_DOWNLOAD = ".download."


@dataclass(frozen=True)
class Fetched:
    """A model as it came.

    Attributes:
        path: a file, or a diffusers folder.
        origin: the source, pinned: a file's name, "owner/name@commit", "civitai:VERSION:FILE".
        sha256: its hash where the download told it, else "".
        wanted: a proposed name of the model.
        temporary: a folder that is to be removed once the model is converted or refused; None if there is none.
    """

    path: Path
    origin: str
    wanted: str
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
        remote, origin = civitai.find_file(source, token)
        folder = _folder(workspace, origin)
        path, digest = yield from _one(remote, folder / "model", workspace)
        return Fetched(path, origin, Path(remote.name).stem, digest, folder)
    return (yield from _from_hub(source, token, workspace))


def _from_hub(source: HubModel, token: str, workspace: Workspace) -> Generator[Event, None, Fetched]:
    files = hub.find_files(source, token)
    folder = _folder(workspace, files.origin)
    yield Note(f"{source.repo} at commit {files.origin.split('@')[1].split(':')[0][:12]}.")
    digests = {}
    for place, remote in files.remotes.items():
        _, digests[place] = yield from _one(remote, folder / place, workspace)
    wanted = Path(files.single).stem or source.repo.split("/")[1]
    if files.single:
        path = files.cached.get(files.single, folder / files.single)
        return Fetched(path, files.origin, wanted, digests.get(files.single, ""), folder)
    for place, cached in files.cached.items():
        _link(folder / place, cached)
    for place in files.indexes:
        yield from _shards(source, files, folder / place, folder, workspace)
    return Fetched(folder, files.origin, wanted, digests.get(WEIGHTS["unet"], ""), folder)


def _shards(
    source: HubModel, files: hub.HubFiles, index: Path, folder: Path, workspace: Workspace
) -> Iterator[Event]:
    """Bring the files that an index names beside it.

    Raises:
        BadInput: the repository, or the hub's cache, lacks one of them.
    """
    for name in shard_names(index):
        target = index.with_name(name)
        shard = files.shards.get(target.relative_to(folder).as_posix())
        if shard is None:
            raise BadInput(
                f"{source.repo} lacks {name}, which its {index.name} names.",
                "Choose another revision of the model, or a file of it.",
            )
        if isinstance(shard, Path):
            _link(target, shard)
        else:
            yield from _one(shard, target, workspace)


def _link(place: Path, cached: Path) -> None:
    """Let a file of the hub's cache stand in the folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(cached.resolve())


def _one(remote: Remote, target: Path, workspace: Workspace) -> Generator[Event, None, tuple[Path, str]]:
    """A file's place and hash. One that an interrupted conversion left whole isn't fetched again."""
    if target.is_file():
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == remote.sha256:
            return target, digest
    return target, (yield from download(remote, target, workspace))


def _folder(workspace: Workspace, origin: str) -> Path:
    """Return where a download waits for its conversion: the same folder for the same source, so that it can go on."""
    folder = workspace.root / "models" / f"{_DOWNLOAD}{hashlib.sha256(origin.encode()).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    return folder
