"""Extraction of a trained UNet's change as a small LoRA."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from dreamgui.config import ExtractJob
from dreamgui.errors import BadInput
from dreamgui.events import Event, Note, Progress, Saved, Score
from dreamgui.exporting.energy import energy_scores, write_energy
from dreamgui.exporting.workshop import save_lora_run, unet_source
from dreamgui.models.lora.extract import Extraction
from dreamgui.models.lora.extract import extract as extracted
from dreamgui.models.lora.text_encoders import TEXT_FOLDER
from dreamgui.models.zero_gpu import uses_device
from dreamgui.names import name_notes
from dreamgui.sizes import file_size
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


@uses_device
def extract(job: ExtractJob, workspace: Workspace, models: Models) -> Generator[Event, None, None]:
    """Singular values of the difference to the base, layer by layer. The captured share is plotted by rank.

    Raises:
        UnknownName, BadInput: there is no such run, it is a LoRA, or it doesn't differ from its base.
        BadModelFile: the two UNets aren't of one kind.
    """
    catalog, began = models.catalog, time.monotonic()
    trained = unet_source(catalog, job.trained)
    if trained.card is None and not job.against:
        raise BadInput(f"{trained.name!r} is a base model.", "Name the model that it is compared with.")
    against = unet_source(catalog, job.against or trained.base)
    found = yield from _with_progress(
        extracted(against.file, trained.file, job.rank, job.lora_targets, models.device)
    )
    wanted = job.run or f"{trained.name}-r{job.rank}"
    card = save_lora_run(workspace, wanted, job, trained, found.file, job.rank, time.monotonic() - began)
    for sentence in name_notes(job.run, card.name):
        yield Note(sentence)
    folder = workspace.place("runs", card.name)
    write_energy(folder, found.captured, found.reachable)
    yield Score(card.name, energy_scores(found.captured))
    yield Note(
        f"Rank {job.rank} captures {found.at(job.rank):.1%} of the change in the adapted layers, which hold "
        f"{found.reachable:.1%} of all change; the file has {file_size(card.file_bytes)}."
    )
    if (trained.file.parent.parent / TEXT_FOLDER).is_dir() and trained.card:
        yield Note(f"{trained.name} trained its text encoder too; that part isn't in the LoRA.")
    yield Saved("run", card.name, folder)


def _with_progress(steps: Iterator[tuple[int, int]]) -> Generator[Event, None, Extraction]:
    while True:
        try:
            done, total = next(steps)
        except StopIteration as end:
            return end.value
        yield Progress("Finding singular values", done, total)
