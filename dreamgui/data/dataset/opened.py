"""Dataset of a job, with what the user should know of it."""

from __future__ import annotations

from collections.abc import Generator

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.events import Event, Note
from dreamgui.workspace import Workspace


def opened(workspace: Workspace, name: str) -> Generator[Event, None, Dataset]:
    """Load a dataset and tell which captions another program changed.

    Raises:
        UnknownName: there is none of this name.
        Damaged: it can't be read.
    """
    dataset = Dataset.load(workspace.find("datasets", name))
    yield from map(Note, dataset.remarks)
    return dataset
