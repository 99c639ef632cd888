"""Recipes that run inside another recipe, one after the other."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from dreamgui.errors import StopRequested
from dreamgui.events import Event, Loss, Note, Progress, Saved


class Stages:
    """Runs recipes as stages of a larger one: passes their events on, times them, remembers what they saved.

    Attributes:
        seconds: how long each stage took, by its title.
        losses: the losses that a stage yielded, by its title.
    """

    def __init__(self, label: str, total: int) -> None:
        self.seconds: dict[str, float] = {}
        self.losses: dict[str, list[Loss]] = {}
        self._label = label
        self._total = total

    def run(self, title: str, recipe: Iterator[Event]) -> Generator[Event, None, Stage]:
        """Delegate to a recipe, as ``yield from`` does, and return what it saved and returned.

        A recipe that is stopped may keep what it has and return; the larger one must end then too, so
        StopRequested is raised again once the stage has ended.
        """
        number, began = len(self.seconds) + 1, time.monotonic()
        yield Progress(self._label, number - 1, self._total)
        yield Note(f"Stage {number} of {self._total}: {title}")
        stage = Stage(title)
        yield from self._events(recipe, stage)
        self.seconds[title] = time.monotonic() - began
        self.losses[title] = stage.losses
        yield Progress(self._label, number, self._total)
        return stage

    def _events(self, recipe: Iterator[Event], stage: Stage) -> Iterator[Event]:
        stopped = False
        try:
            event = next(recipe)
            while True:
                stage.hear(event)
                try:
                    yield event
                except StopRequested as stop:
                    stopped = True
                    if not isinstance(recipe, Generator):
                        raise
                    event = recipe.throw(stop)
                else:
                    event = next(recipe)
        except StopIteration as end:
            stage.result = end.value
        if stopped:
            raise StopRequested


class Stage:
    """Results of one stage: its recipe's return value, its losses, and what it saved."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.result: Any = None
        self.losses: list[Loss] = []
        self._saved: dict[str, Saved] = {}

    def hear(self, event: Event) -> None:
        """Remember what matters later."""
        if isinstance(event, Loss):
            self.losses.append(event)
        elif isinstance(event, Saved):
            self._saved[event.what] = event

    def name(self, what: str) -> str:
        """Name of what the stage saved last of this kind ("dataset", "model", "run"...)."""
        return self._saved[what].name

    def path(self, what: str) -> Path:
        """Return where it is."""
        return self._saved[what].path
