"""A LoRA made smaller."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dreamgui.config import ResizeJob
from dreamgui.events import Event, Note, Progress, Saved, Score
from dreamgui.exporting.energy import energy_scores, write_energy
from dreamgui.exporting.workshop import lora_source, read_source, save_lora_run
from dreamgui.models.lora.extract import resize as resized
from dreamgui.names import name_notes
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


def resize(job: ResizeJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Keep the largest singular values of each layer. The captured share is plotted by rank.

    Raises:
        UnknownName, BadInput: there is no such LoRA, or the new rank isn't smaller than its own.
    """
    began, source = time.monotonic(), lora_source(models.catalog, job.lora)
    yield Progress("Finding singular values", 0, 1)
    lora = read_source(models.catalog, source)
    file, captured = resized(lora.layers, job.rank, lora.text_layers)
    wanted = job.run or f"{source.name}-r{job.rank}"
    card = save_lora_run(workspace, wanted, job, source, file, job.rank, time.monotonic() - began)
    for sentence in name_notes(job.run, card.name):
        yield Note(sentence)
    folder = workspace.place("runs", card.name)
    write_energy(folder, captured)
    yield Progress("Finding singular values", 1, 1)
    yield Score(card.name, energy_scores(captured))
    yield Note(f"Rank {job.rank} keeps {captured[job.rank - 1]:.1%} of what {source.name} changes.")
    yield Saved("run", card.name, folder)
