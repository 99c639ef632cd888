"""A LoRA merged into a UNet at a strength."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dreamgui.config import MergeJob
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.exporting.whole_model import ModelFiles
from dreamgui.exporting.workshop import Source, lora_source, read_source, save_whole_run, unet_source
from dreamgui.names import name_notes
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


def merge(job: MergeJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Add ``weight`` times what the LoRA does to each layer, in fp32, and round once. Any kind that is read can be merged.

    Raises:
        UnknownName, BadInput: there is no such LoRA or model.
        BadModelFile: the LoRA doesn't fit the model.
    """
    catalog = models.catalog
    base = unet_source(catalog, job.model).base if job.model else ""
    lora = lora_source(catalog, job.lora, base)
    unet = unet_source(catalog, job.model or lora.base)
    if unet.base != lora.base:
        yield Note(f"{lora.name} was trained on {lora.base}; on {unet.base} it may look different.")
    file = read_source(catalog, lora)
    if file.unread:
        yield Note(f"{lora.name} also holds {', '.join(file.unread)}, which DreamGUI doesn't read.")
    merged = ModelFiles.of(catalog, catalog.spec(unet.name)).with_lora(file, job.weight)
    yield Progress("Merging", 0, 1)
    # The result is on the UNet's base; the settings that a report shows are the LoRA's.
    source = Source(unet.name, unet.base, unet.file, lora.card)
    card = save_whole_run(workspace, job.run or f"{lora.name}-in-{unet.name}", job, source, merged)
    for sentence in name_notes(job.run, card.name):
        yield Note(sentence)
    yield Progress("Merging", 1, 1)
    changed = len(file.layers) + len(file.text_layers)
    yield Note(f"{changed} layers of {unet.name} changed by {lora.name} at {job.weight:g}.")
    yield Saved("run", card.name, workspace.place("runs", card.name))
