"""The plain model: what should be on the disk, as dictionaries by name, and a look at what is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.models.catalog.catalog import LORA_FILE, UNET_FILE, Catalog, RunCard
from dreamgui.training.resumable import kept_steps
from dreamgui.workspace import EXPORTS, Workspace
from tests.sequences.disk import composed

LEAST_CROPS = 3


@dataclass
class Crop:
    """A crop: the hash of its file, its caption, and whether it was taken out."""

    digest: str
    caption: str
    dropped: bool = False


@dataclass
class RunState:
    """A run: whether it has finished weights and which, their steps, and the steps of its checkpoints."""

    finished: bool
    steps: int
    weights: str
    kept: list[int]

    @property
    def learnt(self) -> int:
        """The most steps that it can show."""
        return max([*self.kept, self.steps if self.finished else 0], default=0)


@dataclass
class Home:
    """Everything that the user has."""

    datasets: dict[str, dict[str, Crop]] = field(default_factory=dict)
    runs: dict[str, RunState] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)


def look(workspace: Workspace) -> Home:
    """Read the whole home; a listed name that can't be read is a fault."""
    catalog = Catalog(workspace)
    return Home(
        {name: crops(workspace, name) for name in workspace.names("datasets")},
        {name: run_state(workspace, name) for name in workspace.names("runs")},
        {name: digest(catalog.folder(name)) for name in workspace.names("models")},
        {path.name: digest(path) for path in listed(workspace.root / EXPORTS)},
    )


def crops(workspace: Workspace, name: str) -> dict[str, Crop]:
    """A dataset's crops by file; caption files and metadata.jsonl say the same."""
    folder = workspace.find("datasets", name)
    dataset = Dataset.load(folder)
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    used = {e.file: e.caption for e in dataset.entries if e.in_use}
    assert {Path(row["file_name"]).name: row["text"] for row in rows} == used, f"{name}: metadata.jsonl"
    for entry in dataset.entries:
        beside = dataset.path(entry).with_suffix(".txt").read_text()
        assert beside == entry.caption, f"{name}/{entry.file}: {beside!r}, not {entry.caption!r}"
    return {e.file: Crop(digest(dataset.path(e)), e.caption, e.dropped) for e in dataset.entries}


def run_state(workspace: Workspace, name: str) -> RunState:
    """A run by its card, its weights' hash and its whole checkpoints."""
    card = Catalog(workspace).run(name)
    assert composed(card.name) == name, f"the card of {name} is that of {card.name}"
    folder = workspace.find("runs", name)
    weights = folder / weights_file(card)
    assert weights.is_file() or not card.finished, f"the finished run {name} has no weights"
    return RunState(
        card.finished, card.steps, digest(weights) if weights.is_file() else "", kept_steps(folder)
    )


def weights_file(card: RunCard) -> str:
    """Where a run's weights are."""
    return LORA_FILE if card.kind == "lora" else UNET_FILE


def digest(path: Path) -> str:
    """Hash of a file, or of all files in a folder with their names."""
    hashed = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        hashed.update(file.relative_to(path).as_posix().encode() + file.read_bytes())
    return hashed.hexdigest()[:16]


def listed(folder: Path) -> list[Path]:
    """What a user sees in a folder."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
