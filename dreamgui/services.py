"""What the page and the command line work with: built once, handed on."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgui.jobs import Jobs
from dreamgui.recipes import bind
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.catalog import Catalog
    from dreamgui.models.manager import Models


@dataclass
class Services:
    """The workspace, the line of jobs and the one model manager."""

    workspace: Workspace
    jobs: Jobs = field(init=False)
    _models: Models | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.workspace, bind(self.workspace, lambda: self.models))

    @property
    def catalog(self) -> Catalog:
        """The names of models and runs; unlike the manager it needs no torch."""
        from dreamgui.models.catalog import Catalog

        return Catalog(self.workspace)

    @property
    def models(self) -> Models:
        """The model manager; made at first use, as importing torch and diffusers takes seconds."""
        with self._lock:
            if self._models is None:
                from dreamgui.diffusion.kernels import begin

                begin()
                from dreamgui.models.manager import Models

                self._models = Models(self.workspace)
            return self._models

    @property
    def ready(self) -> bool:
        """Whether the model manager is there, so that asking for it waits for nothing."""
        return self._models is not None


def gpu_count() -> int:
    """NVIDIA GPUs that this process may use, on Linux, where several can share a training; needs no torch."""
    there = len(list(Path("/dev").glob("nvidia[0-9]*")))
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return there if allowed is None else min(there, len(list(filter(None, allowed.split(",")))))


def build(root: Path | None = None) -> Services:
    """Services on the given folder, or on the user's default workspace."""
    return Services(Workspace(root))
