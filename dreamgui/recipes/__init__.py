"""The recipes: one generator of events a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dreamgui.config import JOBS, JobConfig
from dreamgui.events import Event
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

Recipe = Callable[[Any, Workspace, "Models"], Iterator[Event]]


def recipe(kind: str) -> Recipe:
    """The recipe of this kind of job; imported when first asked for, as torch takes seconds."""
    return getattr(import_module(f"dreamgui.recipes.{kind}"), kind)


def bind(
    workspace: Workspace, models: Callable[[], Models]
) -> dict[str, Callable[[JobConfig], Iterator[Event]]]:
    """Every recipe with the workspace and the model manager filled in, the manager built at first use."""

    def bound(kind: str) -> Callable[[JobConfig], Iterator[Event]]:
        def run(config: JobConfig) -> Iterator[Event]:
            # The manager first: while the page's own thread still imports diffusers, a recipe's import of it fails (seen).
            manager = models()
            return recipe(kind)(config, workspace, manager)

        return run

    return {kind: bound(kind) for kind in JOBS}
