"""A LoRA baked into a UNet at a strength."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from dreamgui.config import MergeJob
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.models.export import ModelFiles
from dreamgui.models.merge import low_ranks, require_layers, text_low_ranks
from dreamgui.models.workshop import Source, lora_source, read_source, save_whole_run, unet_source
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
    base = unet_source(catalog, job.model).base if job.model else ""
    lora = lora_source(catalog, job.lora, base)
    unet = unet_source(catalog, job.model or lora.base)
    if unet.base != lora.base:
        yield Note(f"{lora.name} was trained on {lora.base}; on {unet.base} it may look different.")
    file = read_source(catalog, lora)
    layers, text_layers = low_ranks(file), text_low_ranks(file)
    plain = ModelFiles.of(catalog, catalog.spec(unet.name))
    require_layers(layers, plain.file("unet"))
    require_layers(text_layers, plain.file("text_encoder"))
    merged = replace(plain, layers=layers, text_layers=text_layers, strength=job.weight)
    yield Progress("Merging", 0, 1)
    # The result is on the UNet's base; the settings that a report shows are the LoRA's.
    source = Source(unet.name, unet.base, unet.file, lora.card)
    card = save_whole_run(workspace, job.run or f"{lora.name}-in-{unet.name}", job, source, merged)
    yield Progress("Merging", 1, 1)
    changed = len(layers) + len(text_layers)
    yield Note(f"{changed} layers of {unet.name} changed by {lora.name} at {job.weight:g}.")
    yield Saved("run", card.name, workspace.place("runs", card.name))
