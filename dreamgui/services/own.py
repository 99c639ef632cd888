"""Workspace, jobs and model manager of a page for this machine's user, or of the command line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from dreamgui import bootstrap, recipes
from dreamgui.config import JobConfig
from dreamgui.events import Event
from dreamgui.jobs.line import Line
from dreamgui.jobs.queue import Jobs
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.catalog.catalog import Catalog
    from dreamgui.models.manager import Models

Bind = Callable[[Workspace, "Callable[[], Models]"], Mapping[str, Callable[[JobConfig], Iterator[Event]]]]


class Services:
    """The workspace, its jobs and the one model manager.

    Args:
        bind: gives the recipes of a workspace; those of ``dreamgui/recipes`` unless given.
    """

    def __init__(self, workspace: Workspace, bind: Bind = recipes.bind) -> None:
        self._workspace = workspace
        self._models: Models | None = None
        self._lock = threading.Lock()
        self.line = Line(lambda: self._models is not None and self._models.trains)
        self._jobs = Jobs(workspace, bind(workspace, self._manager), self.line)

    @property
    def root(self) -> Workspace:
        """The workspace itself, whoever asks."""
        return self._workspace

    @property
    def workspace(self) -> Workspace:
        """The places of the work."""
        return self._workspace

    @property
    def jobs(self) -> Jobs:
        """The jobs of the workspace."""
        return self._jobs

    @property
    def catalog(self) -> Catalog:
        """The names of models and runs. Unlike the manager it needs no torch."""
        from dreamgui.models.catalog.catalog import Catalog

        return Catalog(self.workspace)

    @property
    def models(self) -> Models:
        """The model manager. It is made at first use, as importing torch and diffusers takes seconds."""
        return self._manager()

    def _manager(self) -> Models:
        with self._lock:
            if self._models is None:
                from dreamgui.ops.kernels import begin

                if not bootstrap.on_zero_gpu():
                    begin()
                from dreamgui.models.manager import Models

                self._models = Models(self._workspace)
            return self._models

    @property
    def ready(self) -> bool:
        """Return whether the model manager is there, so that asking for it waits for nothing."""
        return self._models is not None
