"""Datasets, bases, exports, reports and generated pictures as items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dreamgui.data.dataset.entry import Sheet
from dreamgui.diffusion.person_words import person_of
from dreamgui.library.folders import weight
from dreamgui.library.item import Item, companions
from dreamgui.library.reading import made_at, read_json_file
from dreamgui.models.catalog.cards import MODEL_CARD, ModelCard, certificate_place
from dreamgui.models.catalog.catalog import UNET_FILE
from dreamgui.pictures.store import Summary, summaries
from dreamgui.workspace import Workspace

_DATASET_FILE, _REPORT_FILE = "dataset.json", "report.json"
_PROMPT_LETTERS = 300
_PICTURES = ("*.png", "*.webp", "images/*.png", "images/*.webp")


def dataset_item(folder: Path, name: str, size_bytes: int) -> Item:
    """Return a dataset's item. Its thumbnail is its first crop that is trained on."""
    read = read_json_file(folder / _DATASET_FILE, Sheet)
    made = made_at(folder / _DATASET_FILE, folder)
    if read.fault:
        return Item("dataset", name, folder, made, size_bytes, state="broken", fault=read.fault)
    sheet: Sheet = read.content
    used = [entry for entry in sheet.entries if entry.in_use]
    figures = {
        "Crops": str(len(used)),
        "Held out": str(sum(entry.held_out and not entry.dropped for entry in sheet.entries)),
        "Size": f"{sheet.size_px} px",
    }
    crops = sorted(used, key=lambda entry: entry.framing != "close-up")
    face = next((path for entry in crops if (path := folder / entry.place).is_file()), None)
    return Item(
        "dataset", name, folder, made, size_bytes, person_of(sheet.instance_prompt), figures, thumbnail=face
    )


def base_item(folder: Path, name: str, size_bytes: int) -> Item:
    """Return a base model's item."""
    read, made = read_json_file(folder / MODEL_CARD, ModelCard), made_at(folder / MODEL_CARD, folder)
    fault = read.fault or ("" if (folder / UNET_FILE).is_file() else f"{UNET_FILE} is missing.")
    if fault:
        return Item("base", name, folder, made, size_bytes, state="broken", fault=fault)
    card: ModelCard = read.content
    family = "Stable Diffusion 1.5" if card.family == "sd15" else "demo model"
    figures = {"Size": f"{card.size_px} px", "Source": Path(card.source).name or "not known"}
    return Item("base", name, folder, made, size_bytes, family, figures)


def export_item(path: Path, name: str) -> Item:
    """Return an export's item. One without a certificate that can be read is broken."""
    parts = [path, *companions(path)] if path.is_file() else []
    size = sum(part.stat().st_size for part in parts) if parts else weight(path).size_bytes
    read, made = read_json_file(certificate_place(path)), made_at(path, path)
    if read.fault:
        fault = f"Its certificate is missing or unreadable: {read.fault}"
        return Item("export", name, path, made, size, state="broken", fault=fault)
    proof: dict[str, Any] = read.content
    figures = {
        "Check": "passed" if proof.get("passed") else "not passed",
        "Reader": str(proof.get("reader", "")),
    }
    return Item(
        "export", name, path, made, size, "", {label: text for label, text in figures.items() if text}
    )


def report_item(folder: Path, name: str, size_bytes: int) -> Item:
    """Return a report's item. Its page is ``index.html`` in its folder. One that is being written is stopped."""
    read, made = read_json_file(folder / _REPORT_FILE), made_at(folder / _REPORT_FILE, folder)
    unfinished = read.fault and (folder / "queue.json").is_file()
    if read.fault and not unfinished:
        return Item("report", name, folder, made, size_bytes, state="broken", fault=read.fault)
    data: dict[str, Any] = read.content or {}
    picture = next((path for pattern in _PICTURES for path in sorted(folder.glob(pattern))), None)
    stopped = unfinished or data.get("stopped")
    return Item(
        "report",
        name,
        folder,
        made,
        size_bytes,
        _dataset_of(data),
        _report_figures(data),
        picture,
        "stopped" if stopped else "done",
    )


def picture_items(workspace: Workspace) -> Iterator[Item]:
    """Yield the kept pictures, the last day's first. Of each file only its beginning is read, once."""
    for each in summaries(workspace):
        yield picture_item(each)


def picture_item(kept: Summary) -> Item:
    """Return a kept picture's item."""
    figures = {"Prompt": kept.prompt[:_PROMPT_LETTERS]} if kept.prompt else {}
    facts = (kept.name, kept.path, kept.made, kept.size_bytes, kept.model, figures)
    return Item("picture", *facts, thumbnail=kept.path)


def _dataset_of(data: dict[str, Any]) -> str:
    for key in ("settings", "job"):
        if isinstance(job := data.get(key), dict) and isinstance(job.get("dataset"), str):
            return job["dataset"]
    return ""


def _report_figures(data: dict[str, Any]) -> dict[str, str]:
    counts = {"Models": "models", "Pictures": "images", "Trainings": "rows"}
    figures = {label: str(len(data[key])) for label, key in counts.items() if isinstance(data.get(key), list)}
    if isinstance(data.get("device"), str):
        figures["Device"] = data["device"]
    return figures
