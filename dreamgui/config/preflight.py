"""Job of a trial step."""

from __future__ import annotations

from typing import ClassVar

from dreamgui.config.training import TrainJob


class PreflightJob(TrainJob):
    """Try one real step of a training: memory, disk and time. Nothing is kept."""

    kind: ClassVar[str] = "preflight"
    doing: ClassVar[str] = "one step is being tried"
    noun: ClassVar[str] = "Preflight"
    tab: ClassVar[str] = "train"
