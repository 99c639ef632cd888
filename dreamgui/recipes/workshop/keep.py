"""A model kept on a run's way, or a LoRA at a strength, as a run of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dreamgui.config import KeepJob
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.exporting.kept import save_kept, save_scaled
from dreamgui.names import name_notes
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


def keep(job: KeepJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Copy the weights into a new run. A LoRA's strength is multiplied into it.

    Raises:
        UnknownName: there is no such model.
        BadInput: it is a base, a finished run at its full strength, or a strength is asked of a UNet or of a kind of LoRA
            that has none.
        NotEnoughDisk: it doesn't fit.
    """
    catalog = models.catalog
    yield Progress("Keeping", 0, 1)
    save = save_kept if job.strength == 1 else save_scaled
    card = save(workspace, catalog, job)
    for sentence in name_notes(job.run, card.name):
        yield Note(sentence)
    yield Progress("Keeping", 1, 1)
    at = "" if job.strength == 1 else f" at strength {job.strength:g}"
    yield Note(f"{card.name} is {job.model}{at}, a run of its own.")
    yield Saved("run", card.name, workspace.place("runs", card.name))
