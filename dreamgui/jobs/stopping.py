"""Stop of a job: pressed in any program, thrown into the recipe at its next event.

A recipe that has something worth keeping catches StopRequested, saves, and returns; another one ends by it.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from pathlib import Path

from dreamgui.errors import StopRequested
from dreamgui.events import Event
from dreamgui.workspace import report_full_disk


class Stop:
    """The stop button of one job.

    Args:
        folder: the job's, where the press of another program lies as a file.
    """

    def __init__(self, folder: Path) -> None:
        self._pressed = threading.Event()
        self._file = folder / ".stop"

    @property
    def is_pressed(self) -> bool:
        """Return whether Stop was pressed, in this program or another."""
        return self._pressed.is_set() or self._file.exists()

    def press(self) -> None:
        """Stop a job of this program."""
        self._pressed.set()

    def press_elsewhere(self) -> None:
        """Stop a job of another program.

        Raises:
            NotEnoughDisk: there is no room to tell it.
        """
        with report_full_disk(self._file):
            self._file.touch()

    def thrown_into(self, recipe: Iterator[Event]) -> Iterator[Event]:
        """Yield a recipe's events. StopRequested is thrown in at the first yield after Stop, once."""
        told = False
        try:
            while True:
                if not told and self.is_pressed:
                    told = True
                    stops = isinstance(recipe, Generator)
                    yield recipe.throw(StopRequested()) if stops else next(recipe)
                else:
                    yield next(recipe)
        except StopIteration:
            return
