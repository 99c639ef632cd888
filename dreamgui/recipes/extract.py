"""What a trained UNet learnt, as a small LoRA."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from dreamgui.config import ExtractJob
from dreamgui.errors import BadInput
from dreamgui.events import Event, Note, Progress, Saved, Score
from dreamgui.models.extract import Extraction
from dreamgui.models.extract import extract as extracted
from dreamgui.models.text_encoders import TEXT_FOLDER
from dreamgui.models.workshop import save_lora_run, unet_source
from dreamgui.recipes.energy import energy_scores, write_energy
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


def extract(job: ExtractJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Singular values of the difference to the base, layer by layer; the captured share is plotted by rank.

    Raises:
        UnknownName, BadInput: there is no such run, it is a LoRA, or it doesn't differ from its base.
        BadModelFile: the two UNets aren't of one kind.
    """
    catalog, began = models.catalog, time.monotonic()
    trained = unet_source(catalog, job.trained)
    if trained.card is None and not job.against:
        raise BadInput(f"{trained.name!r} is a base model.", "Name the model that it is compared with.")
    against = unet_source(catalog, job.against or trained.base)
    found = yield from _told(extracted(against.file, trained.file, job.rank, job.lora_targets, models.device))
    wish = job.run or f"{trained.name}-r{job.rank}"
    card = save_lora_run(workspace, wish, job, trained, found.file, job.rank, time.monotonic() - began)
    folder = workspace.place("runs", card.name)
    write_energy(folder, found.captured, found.reachable)
    yield Score(card.name, energy_scores(found.captured))
    yield Note(
        f"Rank {job.rank} captures {found.at(job.rank):.1%} of the change in the adapted layers, which hold "
        f"{found.reachable:.1%} of all change; the file has {card.file_bytes / 1e6:.1f} MB."
    )
    if (trained.file.parent.parent / TEXT_FOLDER).is_dir() and trained.card:
        yield Note(f"{trained.name} trained its text encoder too; that part isn't in the LoRA.")
    yield Saved("run", card.name, folder)


def _told(steps: Iterator[tuple[int, int]]) -> Generator[Event, None, Extraction]:
    while True:
        try:
            done, total = next(steps)
        except StopIteration as end:
            return end.value
        yield Progress("Finding singular values", done, total)
