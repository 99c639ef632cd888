"""Origin of a run, to tell later what has changed: the base's weights, the dataset's crops and captions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.errors import Damaged
from dreamgui.models.catalog.catalog import UNET_FILE, Catalog
from dreamgui.workspace import Workspace

_SAMPLED_BYTES = 1 << 20
_LEAST_SHARE = 0.5


def origin_of(catalog: Catalog, base: str, dataset: Dataset) -> dict[str, Any]:
    """Return what a run begins with, as JSON: ``base`` and, by file, ``pictures`` [hash, caption].

    Only crops that are trained on count. One whose caption is only the dataset's prompt has an empty one here.
    """
    return {"base": _sampled(catalog.folder(base) / UNET_FILE), "pictures": _pictures(dataset)}


def changes_since(origin: Mapping[str, Any], now: Mapping[str, Any], base: str, dataset: str) -> list[str]:
    """Return sentences about what has changed, or nothing where it is the same, or the run kept no origin."""
    if not origin:
        return []
    told = []
    if origin["base"] != now["base"]:
        told.append(
            f"The base model {base!r} is another model since the run was trained: its weights differ."
        )
    if changed := ", ".join(_differences(origin["pictures"], now["pictures"])):
        told.append(f"The dataset {dataset!r} has changed since the run was trained: {changed}.")
    return told


def followed_dataset(workspace: Workspace, name: str, origin: Mapping[str, Any]) -> str:
    """Return the name that a run's dataset has now: its own, or that of the dataset with its crops.

    A dataset with at least half of the crops is taken for the renamed one.
    """
    wanted = {each[0] for each in origin.get("pictures", {}).values()}
    if not wanted or _shared(workspace, name, wanted):
        return name
    found = {other: _shared(workspace, other, wanted) for other in workspace.names("datasets")}
    best = max(found, key=lambda other: found[other], default=name)
    return best if found.get(best, 0) >= _LEAST_SHARE * len(wanted) else name


def _shared(workspace: Workspace, name: str, wanted: set[str]) -> int:
    """Return how many of these crops a dataset has, or 0 where there is no such dataset, or it can't be read."""
    folder = workspace.place("datasets", name)
    try:
        pictures = _pictures(Dataset.peek(folder)) if folder.is_dir() else {}
    except Damaged:
        return 0
    return len(wanted & {digest for digest, _ in pictures.values()})


def _pictures(dataset: Dataset) -> dict[str, list[str]]:
    return {
        path.name: [_digest(path.read_bytes()), "" if caption == dataset.instance_prompt else caption]
        for path, caption in dataset.images()
    }


def _differences(before: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> Iterator[str]:
    both = before.keys() & now.keys()
    counts = {
        "picture{} added": len(now.keys() - both),
        "picture{} removed": len(before.keys() - both),
        "picture{} changed": sum(before[file][0] != now[file][0] for file in both),
        "caption{} changed": sum(before[file][1] != now[file][1] for file in both),
    }
    for what, count in counts.items():
        if count:
            yield f"{count} {what.format('' if count == 1 else 's')}"


def _sampled(path: Path) -> str:
    """Hash of a large file's size, beginning, middle and end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        parts = [str(size).encode()]
        for offset in (0, size // 2, max(0, size - _SAMPLED_BYTES)):
            file.seek(offset)
            parts.append(file.read(_SAMPLED_BYTES))
    return _digest(b"".join(parts))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
