"""Results of the workshop become runs: weights, then a card, so that they can be compared and exported."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from dreamgui.config import ExportJob, JobConfig
from dreamgui.errors import BadInput, UnknownName
from dreamgui.exporting.certificate import read_back
from dreamgui.exporting.whole_model import ModelFiles, part_entries
from dreamgui.models.catalog.cards import RunCard
from dreamgui.models.catalog.catalog import LORA_FILE, UNET_FILE, Catalog, write_run
from dreamgui.models.files.layout import Part, empty_unet
from dreamgui.models.files.writing import TensorEntry, file_bytes, require_room, write_safetensors
from dreamgui.models.lora.adapters import LoraFile, read_lora, write_lora
from dreamgui.models.lora.kinds import low_rank
from dreamgui.models.lora.settings import settings_of
from dreamgui.models.recognition.components import WEIGHTS
from dreamgui.names import composed
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
            f"{name!r} is a LoRA, not a whole UNet.", f"Merge it into one first: dreamgui merge {name}"
        )
    if not spec.unet_run:
        catalog.card(name)
        return Source(name, name, catalog.folder(name) / UNET_FILE, None)
    return Source(name, spec.base, catalog.run_file(name), catalog.run(name))


def lora_source(catalog: Catalog, name: str, base: str = "") -> Source:
    """The LoRA of a finished run, or in a file or folder for the given base model (where there is only one, for that).

    Raises:
        UnknownName, Damaged: it isn't there or can't be read.
        BadInput: it is a whole UNet or isn't finished, or nobody said which base a file is for.
    """
    path = Path(name).expanduser()
    known = {"", *catalog.bases(), *catalog.workspace.names("runs")}
    if composed(name) not in known and os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a name is too long
        bases = [base] if base else catalog.bases()
        if len(bases) != 1:
            raise BadInput(f"{path.name} may be for any of {len(bases)} models.", "Name its base model too.")
        catalog.card(bases[0])
        return Source(path.stem, bases[0], path, None)
    if PurePath(name).name != name and name:
        raise UnknownName(f"There is no file or folder {name!r}.", "Check the path, or name a run's LoRA.")
    spec = catalog.spec(name)
    if not spec.lora_run:
        raise BadInput(f"{name!r} is no LoRA.", f"Turn it into one first: dreamgui extract {name}")
    return Source(name, spec.base, catalog.run_file(name), catalog.run(name))


def require_no_file(job: ExportJob, catalog: Catalog) -> None:
    """Refuse a LoRA's file for a format that holds a whole model. The disk isn't looked at.

    Raises:
        BadInput: the name is a file's.
    """
    if job.model.endswith((".safetensors", ".pt", ".ckpt", ".bin")) and job.model not in catalog.all_names():
        raise BadInput(
            f"{job.model!r} names a file, and {job.format} holds a whole model.",
            "Choose the format lora-kohya or lora-diffusers for a LoRA's file, or merge it into a model first.",
        )


def read_source(catalog: Catalog, source: Source) -> LoraFile:
    """A source's LoRA, whichever naming it has on the disk.

    Raises:
        BadModelFile: it can't be read, or belongs to another model.
    """
    return read_lora(source.file, empty_unet(catalog.folder(source.base)))


def save_whole_run(
    workspace: Workspace,
    wanted: str,
    made: JobConfig,
    source: Source,
    files: ModelFiles,
    unet: Sequence[TensorEntry] | None = None,
) -> RunCard:
    """Write a UNet as a finished run under a free name, and the text encoder where it isn't the base's.

    Args:
        files: the model as it shall be; ``unet`` replaces its UNet's tensors.

    Raises:
        NotEnoughDisk: it doesn't fit.
        BadModelFile: a number became too large for the dtype.
        Damaged: it reads back differently.
    """
    began, name = time.monotonic(), workspace.fresh("runs", wanted)
    with new_folder(workspace.place("runs", name)) as folder:
        with part_entries(files, "unet", None) as entries:
            size_bytes = _write_part(folder, files, "unet", unet or entries)
        if files.text_encoder or files.text_layers:
            with part_entries(files, "text_encoder", None) as entries:
                size_bytes += _write_part(folder, files, "text_encoder", entries)
        card = _card(name, made, source, "unet", size_bytes, time.monotonic() - began)
        write_run(folder, card)
    return card


def _write_part(folder: Path, files: ModelFiles, part: Part, entries: Sequence[TensorEntry]) -> int:
    """Write a part and its config, read it back bitwise. Return its size in bytes."""
    require_room(folder / WEIGHTS[part], file_bytes(entries))
    write_safetensors(folder / WEIGHTS[part], entries)
    shutil.copy(files.base / part / "config.json", folder / part)
    return read_back(folder / WEIGHTS[part], entries).size_bytes


def save_lora_run(
    workspace: Workspace,
    wanted: str,
    made: JobConfig,
    source: Source,
    file: LoraFile,
    rank: int,
    seconds: float,
) -> RunCard:
    """Write a LoRA of alpha = rank as a finished run under a free name. It is read back bitwise.

    Raises:
        Damaged: it reads back differently.
    """
    name = workspace.fresh("runs", wanted)
    with new_folder(workspace.place("runs", name)) as folder:
        write_lora(folder / LORA_FILE, file)
        proof = read_back(folder / LORA_FILE, file.tensors)
        card = _card(name, made, source, "lora", proof.size_bytes, seconds, rank)
        write_run(folder, card)
    return card


def save_imported(
    workspace: Workspace, wanted: str, made: JobConfig, source: Source, file: LoraFile, trigger: str
) -> RunCard:
    """Write another program's LoRA as a finished run under a free name.

    A LoRA or DoRA gets diffusers' keys and is read back bitwise; a file of another kind stays as it is.

    Args:
        trigger: words for the person; "" is not known.

    Raises:
        BadInput: it is of another kind, and no safetensors file.
        Damaged: it reads back differently.
    """
    changes = (*file.layers.values(), *file.text_layers.values())
    plain = all(low_rank(change) is not None for change in changes)
    if not plain and source.file.suffix != ".safetensors":
        raise BadInput(
            f"{source.file.name} is {', '.join(sorted(file.kinds))} in a pickled file.",
            "Save it as .safetensors with the program that made it.",
        )
    name = workspace.fresh("runs", wanted)
    with new_folder(workspace.place("runs", name)) as folder:
        if plain:
            write_lora(folder / LORA_FILE, file)
            read_back(folder / LORA_FILE, file.tensors)
        else:
            shutil.copyfile(source.file, folder / LORA_FILE)
        size_bytes = (folder / LORA_FILE).stat().st_size
        settings = settings_of(file.layers) or settings_of(file.text_layers)
        card = _card(name, made, source, "lora", size_bytes, 0.0, settings.get("r"))
        made_from = {**card.job["made"], "file": source.file.name}
        job = {**card.job, "made": made_from, **({"instance_prompt": trigger} if trigger else {})}
        card = card.model_copy(update={"alpha": settings.get("lora_alpha"), "job": job})
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
    """Training settings are those of the source. ``job["made"]`` says what the workshop did with it."""
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
