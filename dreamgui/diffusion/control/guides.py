"""The maps of a ControlNet job: the first one, and the second one beside it."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from dreamgui.config import ControlJob
from dreamgui.diffusion.control.control_image import Mapped, make_control_map
from dreamgui.diffusion.control.residuals import ControlInput


@dataclass(frozen=True)
class Guides:
    """The maps of a job, each with the settings of its ControlNet.

    Attributes:
        jobs: the job, and that of the second ControlNet where there is one.
        mapped: the map of each.
    """

    jobs: tuple[ControlJob, ...]
    mapped: tuple[Mapped, ...]

    @property
    def source(self) -> Image.Image:
        """The first control image in its frame."""
        return self.mapped[0].source

    @property
    def notes(self) -> list[str]:
        """Sentences on all maps, each once."""
        return list(dict.fromkeys(sentence for mapped in self.mapped for sentence in mapped.notes))

    def inputs(self, scale: float) -> list[ControlInput]:
        """Return the input of each ControlNet, the first one with this strength."""
        scales = [scale, *(job.control_scale for job in self.jobs[1:])]
        return [
            ControlInput(mapped.map, strength, job.control_start, job.control_end, job.guess_mode)
            for job, mapped, strength in zip(self.jobs, self.mapped, scales, strict=True)
        ]


def make_guides(job: ControlJob, size_px: int) -> Guides:
    """Return the maps of a job, each of ``size_px`` a side.

    Raises:
        BadPhoto: a picture can't be read.
        BadInput: a map would be empty.
    """
    jobs = (job, job.second) if job.second else (job,)
    return Guides(jobs, tuple(make_control_map(each, size_px) for each in jobs))
