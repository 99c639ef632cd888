"""Two UNets mixed into a third."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dreamgui.config import MixJob
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.exporting.whole_model import ModelFiles
from dreamgui.exporting.workshop import Source, save_whole_run, unet_source
from dreamgui.models.lora.merge import mixed_entries
from dreamgui.names import name_notes
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


def mix(job: MixJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Weighted sum (1 - w) A + w B, or add difference A + w (B - C). The VAE and text encoder are A's.

    Raises:
        UnknownName, BadInput: there is no such model, or it is a LoRA.
        BadModelFile: the UNets aren't of one kind.
    """
    catalog = models.catalog
    first, second = unet_source(catalog, job.first), unet_source(catalog, job.second)
    if job.way == "weighted-sum":
        sources, shares = [first, second], [1 - job.weight, job.weight]
        formula = f"{1 - job.weight:g} {first.name} + {job.weight:g} {second.name}"
    else:
        minus = unet_source(catalog, job.minus or second.base)
        sources, shares = [first, second, minus], [1.0, job.weight, -job.weight]
        formula = f"{first.name} + {job.weight:g} ({second.name} - {minus.name})"
    yield Progress("Mixing", 0, 1)
    entries = mixed_entries([source.file for source in sources], shares)
    wanted = job.run or f"{first.name}-{second.name}-{job.weight:g}"
    source = Source(first.name, first.base, first.file, first.card or second.card)
    files = ModelFiles.of(catalog, catalog.spec(first.name))
    card = save_whole_run(workspace, wanted, job, source, files, entries)
    for sentence in name_notes(job.run, card.name):
        yield Note(sentence)
    yield Progress("Mixing", 1, 1)
    yield Note(f"{card.name} is {formula}.")
    yield Saved("run", card.name, workspace.place("runs", card.name))
