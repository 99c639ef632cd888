"""Kept models and scaled LoRAs as runs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dreamgui.config import KeepJob
from dreamgui.errors import BadInput
from dreamgui.exporting.certificate import read_back
from dreamgui.exporting.workshop import lora_source, read_source
from dreamgui.models.catalog.cards import RunCard
from dreamgui.models.catalog.catalog import KEPT_CARD, LORA_FILE, Catalog, write_run
from dreamgui.models.lora.adapters import LoraFile, write_lora
from dreamgui.models.lora.kinds import Change, LowRank
from dreamgui.workspace import Workspace, new_folder


def save_kept(workspace: Workspace, catalog: Catalog, job: KeepJob) -> RunCard:
    """Copy a model kept on a run's way into a finished run under a free name. Return its card.

    Raises:
        UnknownName: there is no such model.
        BadInput: it is a base, or a run of its own already.
        NotEnoughDisk: it doesn't fit.
    """
    is_base = catalog.is_base(job.model)
    catalog.spec(job.model)
    if is_base or job.model in workspace.names("runs"):
        kind = "a base model" if is_base else "a run of its own"
        raise BadInput(f"{job.model!r} is {kind}.", "Choose a model kept on a run's way, or a LoRA strength.")
    card, weights = catalog.run(job.model), catalog.run_file(job.model)
    source = weights.parent if card.kind == "lora" else weights.parent.parent
    name = workspace.fresh("runs", job.run or card.name.replace("@", "-step-"))
    size_bytes = sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
    with new_folder(workspace.place("runs", name), size_bytes) as folder:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(KEPT_CARD), dirs_exist_ok=True)
        return _written(card, name, job, folder, folder / weights.relative_to(source))


def save_scaled(workspace: Workspace, catalog: Catalog, job: KeepJob) -> RunCard:
    """Multiply a strength into a LoRA and write it as a finished run under a free name. Return its card.

    Raises:
        UnknownName: there is no such model.
        BadInput: it is no LoRA, or a layer of it isn't changed in proportion to the strength.
        NotEnoughDisk: it doesn't fit.
        Damaged: it reads back differently.
    """
    card = catalog.run(job.model)
    source = lora_source(catalog, job.model)
    lora = read_source(catalog, source)
    layers, text_layers = (_scaled(part, job) for part in (lora.layers, lora.text_layers))
    file = LoraFile(layers, text_layers, lora.metadata, lora.unread)
    wanted = job.run or f"{card.name.replace('@', '-step-')}-strength-{job.strength:g}"
    name = workspace.fresh("runs", wanted)
    with new_folder(workspace.place("runs", name), source.file.stat().st_size) as folder:
        write_lora(folder / LORA_FILE, file)
        read_back(folder / LORA_FILE, file.tensors)
        return _written(card, name, job, folder, folder / LORA_FILE)


def _scaled(layers: Mapping[str, Change], job: KeepJob) -> dict[str, Change]:
    scaled: dict[str, Change] = {}
    for path, change in layers.items():
        if not isinstance(change, LowRank):
            raise BadInput(
                f"{path} of {job.model!r} is changed by {change.word}, which no factor scales.",
                f"Merge it into a UNet: dreamgui merge {job.model} --weight {job.strength:g}",
            )
        scaled[path] = replace(change, up=(change.up.float() * job.strength).to(change.up.dtype))
    return scaled


def _written(card: RunCard, name: str, job: KeepJob, folder: Path, weights: Path) -> RunCard:
    made = {"made": {"kind": job.kind, **job.model_dump(mode="json")}}
    changes = {"name": name, "file_bytes": weights.stat().st_size, "job": {**card.job, **made}}
    kept = card.model_copy(update=changes)
    write_run(folder, kept)
    return kept
