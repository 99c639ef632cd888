"""Results of the workshop become runs: weights, then a card, so that they can be compared and exported."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from dreamgui.config import JobConfig
from dreamgui.errors import BadInput
from dreamgui.models.cards import RunCard
from dreamgui.models.catalog import LORA_FILE, UNET_FILE, Catalog, write_run
from dreamgui.models.certificate import read_back
from dreamgui.models.export import ModelFiles, part_entries
from dreamgui.models.export_stream import Entry, write_stream
from dreamgui.models.layout import Part
from dreamgui.models.lora_files import LoraFile, read_lora, write_lora
from dreamgui.models.single_file import WEIGHTS
from dreamgui.workspace import Workspace, new_folder


@dataclass(frozen=True)
class Source:
    """A UNet or LoRA that the workshop starts from: its file, its base, and its run's card if it has one."""

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
        raise BadInput(
            f"{name!r} is a LoRA, not a whole UNet.", f"Bake it into one first: dreamgui merge {name}"
        )
    if not spec.unet_run:
        catalog.card(name)
        return Source(name, name, catalog.folder(name) / UNET_FILE, None)
    return Source(name, spec.base, catalog.run_file(name), catalog.run(name))


def lora_source(catalog: Catalog, name: str, base: str = "") -> Source:
    """The LoRA of a finished run, or in a file for the given base model (where there is only one, for that).

    Raises:
        UnknownName, Damaged: it isn't there or can't be read.
        BadInput: it is a whole UNet or isn't finished, or nobody said which base a file is for.
    """
    path = Path(name).expanduser()
    if path.suffix == ".safetensors" and path.is_file():
        bases = [base] if base else catalog.bases()
        if len(bases) != 1:
            raise BadInput(f"{path.name} may be for any of {len(bases)} models.", "Name its base model too.")
        catalog.card(bases[0])
        return Source(path.stem, bases[0], path, None)
    spec = catalog.spec(name)
    if not spec.lora_run:
        raise BadInput(f"{name!r} is no LoRA.", f"Turn it into one first: dreamgui extract {name}")
    return Source(name, spec.base, catalog.run_file(name), catalog.run(name))


def read_source(catalog: Catalog, source: Source) -> LoraFile:
    """A source's LoRA, in diffusers' keys whichever it has on the disk.

    Raises:
        BadModelFile: it can't be read, or belongs to another model.
    """
    path = catalog.folder(source.base) / "unet" / "config.json"
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(json.loads(path.read_text(encoding="utf-8")))
    return read_lora(source.file, unet)


def save_whole_run(
    workspace: Workspace,
    wish: str,
    made: JobConfig,
    source: Source,
    files: ModelFiles,
    unet: Sequence[Entry] | None = None,
) -> RunCard:
    """Write a UNet as a finished run under a free name, and the text encoder where it isn't the base's.

    Args:
        files: the model as it shall be; ``unet`` replaces its UNet's tensors.

    Raises:
        NotEnoughDisk: it doesn't fit.
        BadModelFile: a number became too large for the number format.
        Damaged: it reads back differently.
    """
    began, name = time.monotonic(), workspace.fresh("runs", wish)
    with new_folder(workspace.place("runs", name)) as folder:
        with part_entries(files, "unet", None) as entries:
            size_bytes = _write_part(folder, files, "unet", unet or entries)
        if files.text_encoder or files.text_layers:
            with part_entries(files, "text_encoder", None) as entries:
                size_bytes += _write_part(folder, files, "text_encoder", entries)
        card = _card(name, made, source, "unet", size_bytes, time.monotonic() - began)
        write_run(folder, card)
    return card


def _write_part(folder: Path, files: ModelFiles, part: Part, entries: Sequence[Entry]) -> int:
    """Write a part and its config, read it back bitwise; its size in bytes."""
    write_stream(folder / WEIGHTS[part], entries, {})
    shutil.copy(files.base / part / "config.json", folder / part)
    return read_back(folder / WEIGHTS[part], entries).size_bytes


def save_lora_run(
    workspace: Workspace,
    wish: str,
    made: JobConfig,
    source: Source,
    file: LoraFile,
    rank: int,
    seconds: float,
) -> RunCard:
    """Write a LoRA of alpha = rank as a finished run under a free name; it is read back bitwise.

    Raises:
        Damaged: it reads back differently.
    """
    name = workspace.fresh("runs", wish)
    with new_folder(workspace.place("runs", name)) as folder:
        write_lora(folder / LORA_FILE, file)
        proof = read_back(folder / LORA_FILE, {**file.tensors, **file.text})
        card = _card(name, made, source, "lora", proof.size_bytes, seconds, rank)
        write_run(folder, card)
    return card


def _card(
    name: str,
    made: JobConfig,
    source: Source,
    kind: Any,
    file_bytes: int,
    seconds: float,
    rank: int | None = None,
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
