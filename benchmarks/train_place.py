"""Where the training benchmark works: a base of random weights, photographs, class images; and jobs over them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.bases import SIZES_PX, Size, make_base
from dreamgui.config import ClassImagesJob, TrainJob
from dreamgui.events import Event, Loss
from dreamgui.models.manager import Models
from dreamgui.recipes import train as recipe
from dreamgui.recipes.class_images import class_images
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset, picture

PHOTOGRAPHS, CLASS_IMAGES = 15, 150
ENDLESS = 20000
_CACHE = ".latents.safetensors"


@dataclass(frozen=True)
class Place:
    """A folder that all processes of one benchmark share.

    Attributes:
        home: the workspace's root.
        seconds: how long one round of one loop lasts.
        rounds: of which the median is taken.
        short: a rehearsal, in which every row has only to run.
    """

    home: Path
    size: Size
    seconds: float
    rounds: int
    short: bool

    @property
    def workspace(self) -> Workspace:
        """The one that the trainings run in."""
        return Workspace(self.home)

    @property
    def class_folder(self) -> Path:
        """Pictures that serve as class images where none are to be drawn."""
        return self.home / "class-pictures"

    def prepare(self) -> None:
        """Make what isn't there; the squares of the class images too, as an earlier training would have."""
        workspace = self.workspace
        device = "cuda" if torch.cuda.is_available() else "cpu"
        make_base(workspace, self.size, device=device)
        if self.class_folder.is_dir():
            return
        make_dataset(workspace, "photographs", PHOTOGRAPHS, SIZES_PX[self.size])
        self.class_folder.mkdir()
        for number in range(CLASS_IMAGES):
            picture(1000 + number, SIZES_PX[self.size]).save(
                self.class_folder / f"{number:03d}.png", compress_level=1
            )
        job = ClassImagesJob(model=self.size, class_folder=self.class_folder)
        for _ in class_images(job, workspace, Models(workspace)):
            pass

    def job(self, settings: dict[str, Any]) -> TrainJob:
        """A training without end that only learns: no samples, looks at held-out photographs or checkpoints.

        Raises:
            pydantic.ValidationError: a setting isn't known.
        """
        usual = {
            "model": self.size,
            "dataset": "photographs",
            "class_folder": self.class_folder,
            "steps": ENDLESS,
            # Processes that run side by side must not choose one name.
            "run": f"bench-{os.getpid()}",
            "sample_every": 0,
            "validate_every": 0,
            "checkpoint_every": ENDLESS,
            # By the clock one would fall by chance.
            "checkpoint_seconds": 86400,
        }
        return TrainJob.model_validate({**usual, **settings})

    def training(self, settings: dict[str, Any], models: Models) -> Iterator[Event]:
        """The app's own recipe over these settings."""
        return recipe.train(self.job(settings), self.workspace, models)

    def forget_encoded(self) -> None:
        """The next training encodes all pictures."""
        for shelf in ("datasets", "classes"):
            for cache in (self.home / shelf).rglob(_CACHE):
                cache.unlink(missing_ok=True)

    def forget_compiled(self) -> None:
        """The next training that is compiled begins from nothing."""
        shutil.rmtree(self.workspace.compiled, ignore_errors=True)


def until_loss(events: Iterator[Event], step: int) -> Loss:
    """Let a training run until the loss of this step is told, and give it."""
    for event in events:
        if isinstance(event, Loss) and event.step >= step:
            return event
    raise RuntimeError(f"the training ended before step {step}")
