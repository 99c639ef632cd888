"""A LoRA of another program becomes a run: it is chosen like any other, with a strength."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgui.config import ImportJob
from dreamgui.errors import BadInput
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.exporting.workshop import lora_source, read_source, save_imported
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.models.lora.adapters import LoraFile
from dreamgui.models.lora.kinds import Change, LowRank, low_rank
from dreamgui.models.recognition.lora_metadata import named_base, trigger_words
from dreamgui.models.recognition.recognise import read_any_header, recognise
from dreamgui.names import name_notes
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


def import_(job: ImportJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Check a LoRA's file or folder against its base model, and keep it as a finished run.

    Raises:
        BadInput: it is a whole model, or nobody told its base model.
        BadModelFile: it can't be read, is of a kind that DreamGUI doesn't read, or doesn't fit the base model.
    """
    yield Progress("Reading", 0, 2)
    _require_lora(job)
    path = job.file.expanduser().absolute()
    source = lora_source(models.catalog, str(path), job.base or _base_in_metadata(path, models.catalog))
    file = read_source(models.catalog, source)
    yield Progress("Checking", 1, 2)
    trigger = job.trigger or trigger_words(file.metadata)
    card = save_imported(workspace, job.run or source.name, job, source, file, trigger)
    for sentence in name_notes(job.run, card.name):
        yield Note(sentence)
    yield Note(f"{_count(file)}, for {card.base}.")
    yield Note(_keys(file))
    if not any(_moves(change) for change in (*file.layers.values(), *file.text_layers.values())):
        yield Note(
            "The LoRA changes nothing: all its numbers are 0. Its pictures are those of its base model."
        )
    yield Note(
        f"{{token}} stands for {trigger!r}."
        if trigger
        else "The file doesn't name its trigger words. Write them into your prompts, or add it again with them."
    )
    yield Progress("Checking", 2, 2)
    yield Saved("run", card.name, workspace.place("runs", card.name))


def _require_lora(job: ImportJob) -> None:
    """Raise BadInput for a file that holds a whole model or UNet."""
    if not job.file.expanduser().is_file():
        return
    found = recognise(job.file.expanduser())
    if found.roots and found.kind != "lora":
        raise BadInput(
            f"{job.file.name} is {found.name or 'a whole model'}, not a LoRA.",
            "Convert it in the Convert tab; a lone UNet is completed by a base model there.",
        )


def _base_in_metadata(path: Path, catalog: Catalog) -> str:
    """The base model that a file's metadata names, where there is more than one to choose from, else ""."""
    if len(catalog.bases()) < 2 or not path.is_file():
        return ""
    return named_base(
        read_any_header(path)[1].metadata, {name: catalog.card(name).sha256 for name in catalog.bases()}
    )


def _keys(file: LoraFile) -> str:
    """A sentence on how many of a file's tensors are used. Those that would be half of a layer were refused before."""
    if not file.unread:
        return f"All {file.keys} of its keys are used."
    return f"{file.keys - file.unread_keys} of its {file.keys} keys are used; {file.unread_keys} are not: {', '.join(file.unread)}."


def _moves(change: Change) -> bool:
    """Return whether a change can be another than none. Kinds other than LoRA aren't looked at."""
    return not isinstance(change, LowRank) or bool(change.up.any() and change.down.any())


def _count(file: LoraFile) -> str:
    layers, text = len(file.layers), len(file.text_layers)
    kinds = ", ".join(sorted(file.kinds))
    low = [one for change in (*file.layers.values(), *file.text_layers.values()) if (one := low_rank(change))]
    ranks = sorted({one.rank for one in low})
    rank = (
        f" of rank {ranks[0]}" if len(ranks) == 1 else f" of ranks {ranks[0]} to {ranks[-1]}" if ranks else ""
    )
    beside = f" and {text} of the text encoder" if text else ""
    return f"{kinds}{rank}: {layers} layers of the UNet{beside}"
