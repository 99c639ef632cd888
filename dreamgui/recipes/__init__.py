"""The recipes: one generator of events a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from dreamgui.config import JOBS, JobConfig
from dreamgui.events import Event
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

Recipe = Callable[[Any, Workspace, "Models"], Iterator[Event]]


def recipe(kind: str) -> Recipe:
    """The recipe of this kind of job. It is imported when first asked for, as torch takes seconds.

    Jobs of config/workshop.py have theirs in recipes/workshop, all others in recipes.
    """
    of_workshop = JOBS[kind].__module__ == "dreamgui.config.workshop"
    folder = "recipes.workshop" if of_workshop else "recipes"
    name = f"{kind}_" if iskeyword(kind) else kind
    return getattr(import_module(f"dreamgui.{folder}.{name}"), name)


def bind(
    workspace: Workspace, models: Callable[[], Models]
) -> dict[str, Callable[[JobConfig], Iterator[Event]]]:
    """Return all recipes with the workspace and the model manager filled in. The manager is built at first use."""

    def bound(kind: str) -> Callable[[JobConfig], Iterator[Event]]:
        def run(config: JobConfig) -> Iterator[Event]:
            # The manager first: while the page's own thread still imports diffusers, a recipe's import of it fails (seen).
            manager = models()
            try:
                yield from recipe(kind)(config, workspace, manager)
            finally:
                workspace.release_unused()

        return run

    return {kind: bound(kind) for kind in JOBS}
