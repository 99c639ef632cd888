"""Results of the workshop become runs: weights, then a card, so that they can be compared and exported."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamgui.config import JobConfig
from dreamgui.errors import BadInput
from dreamgui.models.cards import RunCard
from dreamgui.models.catalog import LORA_FILE, UNET_FILE, Catalog, write_run
from dreamgui.models.certificate import read_back
from dreamgui.models.export_stream import Entry, write_stream
from dreamgui.models.lora_files import LoraFile, write_lora
from dreamgui.workspace import Workspace, new_folder


@dataclass(frozen=True)
class Source:
    """A UNet or LoRA that the workshop starts from: its file, its base model, and its run's card if it has one."""

    name: str
    base: str
    file: Path
    card: RunCard | None

    @property
    def job(self) -> dict[str, Any]:
        """The settings that it was trained with."""
        return self.card.job if self.card else {}


def unet_source(catalog: Catalog, name: str) -> Source:
    """The UNet of a base model or of a finished run.

    Raises:
        UnknownName, Damaged: it isn't there or can't be read.
        BadInput: it is a LoRA, or isn't finished.
    """
    spec = catalog.spec(name)
    if spec.lora_run:
        raise BadInput(f"{name!r} is a LoRA, not a whole UNet.", f"Bake it into one first: dreamgui merge {name}")
    if not spec.unet_run:
        catalog.card(name)
        return Source(name, name, catalog.folder(name) / UNET_FILE, None)
    return Source(name, spec.base, catalog.run_file(name), catalog.run(name))


def lora_source(catalog: Catalog, name: str) -> Source:
    """The LoRA of a finished run.

    Raises:
        UnknownName, Damaged: it isn't there or can't be read.
        BadInput: it is a whole UNet, or isn't finished.
    """
    spec = catalog.spec(name)
    if not spec.lora_run:
        raise BadInput(f"{name!r} is no LoRA.", f"Turn it into one first: dreamgui extract {name}")
    return Source(name, spec.base, catalog.run_file(name), catalog.run(name))


def save_unet_run(
    workspace: Workspace, catalog: Catalog, wish: str, made: JobConfig, source: Source, entries: Sequence[Entry]
) -> RunCard:
    """Write a UNet as a finished run under a free name; it is read back bitwise.

    Raises:
        NotEnoughDisk: it doesn't fit.
        BadModelFile: a number became too large for the number format.
        Damaged: it reads back differently.
    """
    began, name = time.monotonic(), workspace.fresh("runs", wish)
    with new_folder(workspace.place("runs", name)) as folder:
        write_stream(folder / UNET_FILE, entries, {})
        proof = read_back(folder / UNET_FILE, entries)
        shutil.copy(catalog.folder(source.base) / "unet" / "config.json", folder / "unet")
        card = _card(name, made, source, "unet", proof.size_bytes, time.monotonic() - began)
        write_run(folder, card)
    return card


def save_lora_run(
    workspace: Workspace, wish: str, made: JobConfig, source: Source, file: LoraFile, rank: int, seconds: float
) -> RunCard:
    """Write a LoRA of alpha = rank as a finished run under a free name; it is read back bitwise.

    Raises:
        Damaged: it reads back differently.
    """
    name = workspace.fresh("runs", wish)
    with new_folder(workspace.place("runs", name)) as folder:
        write_lora(folder / LORA_FILE, file)
        proof = read_back(folder / LORA_FILE, file.tensors)
        card = _card(name, made, source, "lora", proof.size_bytes, seconds, rank)
        write_run(folder, card)
    return card


def _card(
    name: str, made: JobConfig, source: Source, kind: Any, file_bytes: int, seconds: float, rank: int | None = None
) -> RunCard:
    """Training settings are those of the source; ``job["made"]`` says what the workshop did with it."""
    was = source.card
    return RunCard(
        name=name,
        kind=kind,
        base=source.base,
        dataset=was.dataset if was else "",
        rank=rank,
        alpha=None if rank is None else float(rank),
        learning_rate=was.learning_rate if was else 0.0,
        steps=was.steps if was else 0,
        seconds=round(seconds, 2),
        file_bytes=file_bytes,
        finished=True,
        job={**source.job, "made": {"kind": made.kind, **made.model_dump(mode="json")}},
    )
