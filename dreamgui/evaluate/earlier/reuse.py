"""Pictures of earlier reports that a comparison needs again: same weights, settings, machine and program."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from dreamgui.config import CompareJob
from dreamgui.errors import Damaged
from dreamgui.evaluate.model_rows import ModelRow
from dreamgui.evaluate.repeat import pixel_hash
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.workspace import Workspace, read_json

_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_PACKAGES = ("dreamgui", "torch", "diffusers", "transformers")
Key = tuple[object, ...]


def weights_sha256(catalog: Catalog, row: ModelRow) -> str:
    """Return one SHA-256 over the files of a model: the base's parts, and on them a run's UNet, text encoder or LoRA.

    Raises:
        Damaged: a run has no weights.
    """
    base = catalog.folder(row.base)
    files = sorted(file for part in _PARTS for file in (base / part).rglob("*") if file.is_file())
    if row.kind == "lora":
        files.append(catalog.run_file(row.known_as))
    elif row.kind == "unet":
        folder = catalog.run_file(row.known_as).parent.parent
        files += sorted(file for part in _PARTS for file in (folder / part).rglob("*.safetensors"))
    digest = hashlib.sha256(str(catalog.card(row.base).size_px).encode())
    for file in files:
        found = file.stat()
        digest.update(f"{file.name} {_sha256(file, found.st_size, found.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


@cache
def _sha256(file: Path, size_bytes: int, changed_ns: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


class EarlierPictures:
    """The pictures of a workspace's reports by what they were made with.

    Args:
        workspace: whose reports are read; those that can't be read are left out.
        machine: device and packages that a picture must have been made with.
    """

    def __init__(self, workspace: Workspace, machine: Mapping[str, str]) -> None:
        self._found: dict[Key, tuple[Path, str]] = {}
        wanted = _machine(machine)
        for name in workspace.names("reports"):
            folder = workspace.place("reports", name)
            try:
                data = read_json(folder / "report.json")
                if _machine({"device": data["device"], **data["versions"]}) == wanted:
                    self._found.update(_pictures(data, folder))
            except (OSError, Damaged, ValueError, KeyError, TypeError, AttributeError):
                continue

    def picture(self, job: CompareJob, row: ModelRow, prompt: str, seed: int) -> Image.Image | None:
        """Return the picture of a row, prompt and seed, or None where no report has it as it was made."""
        place, wanted = self._found.get(_key(_settings(job), _row(row), prompt, seed), (None, ""))
        if place is None:
            return None
        try:
            with Image.open(place) as opened:
                picture = opened.convert("RGB")
        except (OSError, UnidentifiedImageError):
            return None
        return picture if pixel_hash(picture) == wanted else None


def _pictures(data: Mapping[str, Any], folder: Path) -> Iterator[tuple[Key, tuple[Path, str]]]:
    rows = {row["name"]: _listed(row) for row in data["models"] if row.get("sha256")}
    for each in [*data["images"], *data["class_images"]]:
        place = folder / each["path"]
        if each["model"] in rows and place.resolve().is_relative_to(folder.resolve()):
            key = _key(data["settings"], rows[each["model"]], each["prompt"], each["seed"])
            yield key, (place, each["sha256"])


def _settings(job: CompareJob) -> Mapping[str, Any]:
    return {name: getattr(job, name) for name in ("negative_prompt", "steps", "word_weights")}


def _row(row: ModelRow) -> Key:
    return row.sha256, row.strength, row.scheduler, row.guidance_scale


def _listed(row: Mapping[str, Any]) -> Key:
    return row["sha256"], row["strength"], row["scheduler"], row["guidance_scale"]


def _key(settings: Mapping[str, Any], row: Key, prompt: str, seed: int) -> Key:
    return (*row, prompt, seed, settings["negative_prompt"], settings["steps"], settings["word_weights"])


def _machine(told: Mapping[str, str]) -> Key:
    return told["device"], *(told.get(package) for package in _PACKAGES)
