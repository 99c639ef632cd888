"""A LoRA baked into a UNet at a strength."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dreamgui.config import MergeJob
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.models.lora_files import read_lora
from dreamgui.models.merge import low_ranks, merged_entries
from dreamgui.models.workshop import Source, lora_source, save_unet_run, unet_source
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


def merge(job: MergeJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Add ``weight * alpha / rank * up @ down`` to each adapted layer, in fp32, and round once.

    Raises:
        UnknownName, BadInput: there is no such LoRA or model.
        BadModelFile: the LoRA doesn't fit the model.
    """
    catalog = models.catalog
    lora = lora_source(catalog, job.lora)
    unet = unet_source(catalog, job.model or lora.base)
    if unet.base != lora.base:
        yield Note(f"{lora.name} was trained on {lora.base}; on {unet.base} it may look different.")
    layers = low_ranks(read_lora(lora.file))
    yield Progress("Merging", 0, 1)
    # The result is of the UNet's base; the settings that a report shows are the LoRA's.
    source = Source(unet.name, unet.base, unet.file, lora.card)
    wish = job.run or f"{lora.name}-in-{unet.name}"
    entries = merged_entries(unet.file, layers, job.weight)
    card = save_unet_run(workspace, catalog, wish, job, source, entries)
    yield Progress("Merging", 1, 1)
    yield Note(f"{len(layers)} layers of {unet.name} changed by {lora.name} at {job.weight:g}.")
    yield Saved("run", card.name, workspace.place("runs", card.name))
