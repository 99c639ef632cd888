"""What recipes that draw the same for several models share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dreamgui.config import DrawSettings
from dreamgui.diffusion.sample import Draw, pictures_at_once

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts


def request(job: DrawSettings, prompt: str, seed: int) -> Draw:
    """A picture of this prompt and seed with the job's settings."""
    return Draw(
        prompt=prompt,
        negative_prompt=job.negative_prompt,
        seed=seed,
        steps=job.steps,
        guidance_scale=job.guidance_scale,
        scheduler=job.scheduler,
    )


def batches(parts: Parts, requests: Sequence[Draw]) -> Iterator[Sequence[Draw]]:
    """What is drawn together: as much as the device takes well."""
    size = pictures_at_once(parts.device, parts.card.size_px, parts.card.size_px)
    return (requests[start : start + size] for start in range(0, len(requests), size))
