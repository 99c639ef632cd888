"""A model on Hugging Face: which files, pinned to a commit, found in the hub's own cache where they are there."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
from huggingface_hub import HfApi, constants, errors, hf_hub_url, try_to_load_from_cache

from dreamgui.errors import BadInput
from dreamgui.models.files.part_files import WEIGHTS, is_index, part_file, part_files
from dreamgui.models.sources.download import Remote, host_of
from dreamgui.models.sources.login import hub_token
from dreamgui.models.sources.source import HubModel

ASK_SECONDS = 5.0
_ADVICE = (
    "Accept the model's terms on its page, then put an access token into its field, or run 'hf auth login'."
)
_WEIGHT_ENDS = (".safetensors", ".ckpt", ".pt", ".bin")


@dataclass(frozen=True)
class HubFiles:
    """Files to fetch: one checkpoint file, or a folder's files by their place in it.

    ``cached`` holds files that are in the hub's cache already; ``origin`` is the pinned id. ``shards`` holds the
    files beside the indexes of split weights, in the cache or not: an index says which of them are needed.
    """

    origin: str
    remotes: dict[str, Remote]
    cached: dict[str, Path]
    single: str = ""
    shards: dict[str, Remote | Path] = field(default_factory=dict)

    @property
    def indexes(self) -> tuple[str, ...]:
        """The places of the indexes among the files."""
        return tuple(place for place in (*self.remotes, *self.cached) if is_index(PurePosixPath(place)))


def reachable() -> bool:
    """Return whether the hub answers within seconds. Asking it for a file without a network takes 25 s."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        httpx.head(constants.ENDPOINT, timeout=ASK_SECONDS)
    except httpx.TransportError:
        return False
    return True


def find_files(source: HubModel, token: str = "") -> HubFiles:
    """The files of a model at a commit.

    Raises:
        BadInput: there is no such model, revision or file, it wants a login, or it is neither in the cache nor
            can the hub be reached.
    """
    if not reachable():
        return _from_cache(source)
    secret = hub_token(token)
    try:
        info = HfApi(endpoint=constants.ENDPOINT, token=secret or False).model_info(
            source.repo, revision=source.revision, files_metadata=True, timeout=ASK_SECONDS * 2
        )
    except errors.RepositoryNotFoundError as error:
        gated = isinstance(error, errors.GatedRepoError)
        what = (
            f"{source.repo} wants a login"
            if gated
            else f"Hugging Face has no model {source.repo} that you may see"
        )
        raise BadInput(
            f"{what}.", _ADVICE if gated else f"Check the name. If it is private: {_ADVICE}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(
            f"{source.repo} has no revision {source.revision!r}.", "Leave out '@...' for the newest."
        ) from error
    except (errors.HfHubHTTPError, errors.HFValidationError, httpx.TransportError, ValueError) as error:
        raise BadInput(
            f"Hugging Face gives no answer on {source.repo}: {str(error).splitlines()[0][:200]}",
            "Try again later.",
        ) from error
    sizes = {item.rfilename: item for item in info.siblings or []}
    wanted, single = _wanted(source, list(sizes))
    commit = info.sha or source.revision
    found = {
        place: _cached(source.repo, name, commit) or _remote(source.repo, name, commit, sizes[name], secret)
        for place, name in (wanted | ({} if single else _beside_indexes(wanted, sizes))).items()
    }
    remotes = {place: file for place in wanted if isinstance(file := found[place], Remote)}
    cached = {place: file for place in wanted if isinstance(file := found[place], Path)}
    shards = {place: file for place, file in found.items() if place not in wanted}
    return HubFiles(_pinned(source, commit), remotes, cached, single, shards)


def _cached(repo: str, name: str, revision: str) -> Path | None:
    """The file in the hub's cache, if it is there."""
    local = try_to_load_from_cache(repo, name, revision=revision)
    return Path(local) if isinstance(local, str) else None


def _remote(repo: str, name: str, commit: str, item: Any, secret: str) -> Remote:
    return Remote(
        url=hf_hub_url(repo, name, revision=commit, endpoint=constants.ENDPOINT),
        name=name.rsplit("/", 1)[-1],
        site=host_of(constants.ENDPOINT),
        size_bytes=item.size,
        sha256=item.lfs.sha256 if item.lfs else "",
        login_advice=_ADVICE,
        headers={"Authorization": f"Bearer {secret}"} if secret else {},
    )


def _wanted(source: HubModel, names: list[str]) -> tuple[dict[str, str], str]:
    """Place in our folder to the name on the hub, and the place of the single file if it is one."""
    if source.file:
        if source.file not in names:
            have = ", ".join([name for name in names if name.endswith(_WEIGHT_ENDS)][:5]) or "none"
            raise BadInput(f"{source.repo} has no file {source.file!r}.", f"Its model files: {have}.")
        return _single(source.file)
    folder = _folder(names)
    if len(folder) == len(WEIGHTS):
        extra = "scheduler/scheduler_config.json"
        return folder | ({extra: extra} if extra in names else {}), ""
    files = [name for name in names if name.endswith((".safetensors", ".ckpt")) and "/" not in name]
    safe = [name for name in files if name.endswith(".safetensors")] or files
    if len(safe) == 1:
        return _single(safe[0])
    next_step = f"Say which one: {source.repo}:{safe[0]}" if safe else "Choose another model."
    raise BadInput(
        f"{source.repo} is no diffusers folder of Stable Diffusion and has {len(safe)} files that could be one.",
        next_step,
    )


def _folder(names: Collection[str]) -> dict[str, str]:
    """Place in our folder to the name on the hub of each part's weights. An index keeps its name."""
    best = {part: name for part in WEIGHTS if (name := part_file(part, names))}
    return {name if is_index(PurePosixPath(name)) else WEIGHTS[part]: name for part, name in best.items()}


def _beside_indexes(wanted: Collection[str], names: Iterable[str]) -> dict[str, str]:
    """The safetensors files that lie beside the wanted indexes. They keep their names."""
    folders = {PurePosixPath(name).parent for name in wanted if is_index(PurePosixPath(name))}
    shards = (name for name in names if name.endswith(".safetensors") and name not in wanted)
    return {name: name for name in shards if PurePosixPath(name).parent in folders}


def _single(name: str) -> tuple[dict[str, str], str]:
    place = name.rsplit("/", 1)[-1]
    return {place: name}, place


def _from_cache(source: HubModel) -> HubFiles:
    """Without a network: the revision as the hub's cache knows it."""
    if source.file:
        wanted, single = _single(source.file)
    else:
        marks = [name for part in WEIGHTS for name in part_files(part)]
        wanted, single = _folder([name for name in marks if _cached(source.repo, name, source.revision)]), ""
        if len(wanted) < len(WEIGHTS):
            wanted = {}
    found = {place: _cached(source.repo, name, source.revision) for place, name in wanted.items()}
    cached = {place: path for place, path in found.items() if path}
    if not cached or len(cached) < len(wanted):
        why = (
            "HF_HUB_OFFLINE is set"
            if constants.HF_HUB_OFFLINE
            else f"{host_of(constants.ENDPOINT)} can't be reached"
        )
        raise BadInput(
            f"{why}, and {source.repo} isn't in the cache of this machine.",
            "Connect to the network, or give the path of a file.",
        )
    pieces = next(iter(cached.values())).parts
    shards: dict[str, Remote | Path] = {
        (PurePosixPath(place).parent / file.name).as_posix(): file
        for place, path in cached.items()
        if not single and is_index(path)
        for file in path.parent.glob("*.safetensors")
    }
    return HubFiles(_pinned(source, pieces[pieces.index("snapshots") + 1]), {}, cached, single, shards)


def _pinned(source: HubModel, commit: str) -> str:
    return f"{source.repo}@{commit}" + (f":{source.file}" if source.file else "")
