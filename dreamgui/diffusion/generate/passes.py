"""The passes of a picture: the first one, a second one for large pictures, and one for the face."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFilter
from torch import Tensor

from dreamgui.diffusion.generate.face_pass import FaceSquare
from dreamgui.diffusion.generate.plan import Plan
from dreamgui.diffusion.generate.preview import preview
from dreamgui.diffusion.generate.tiny_decoder import tiny_preview
from dreamgui.diffusion.generation import black_notes
from dreamgui.diffusion.sample import ImageRequest, generation_steps
from dreamgui.diffusion.start import StartImage
from dreamgui.events import Event, Preview, Progress

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts

Images = list[Image.Image]
_PREVIEW_SECONDS = 0.7
_REST = 9
"""Previews take at most a tenth of the time: one that is slow is followed by a pause of so many times its own."""
_MASK_BLUR = 1 / 64


@dataclass
class Passes:
    """The passes of one job, and how many denoising steps they have done.

    Attributes:
        tiny: TAESD for the previews; without it they are a linear map.
    """

    parts: Parts
    plan: Plan
    tiny: Any = None
    done: int = 0

    def generated(self, requests: Sequence[ImageRequest]) -> Generator[Event, None, Images]:
        """Generate finished pictures but for the face pass: with the second pass, and the start image outside its mask."""
        images = yield from self._pass(requests)
        if self.plan.two_passes:
            images = yield from self._enlarged(requests, images)
        start = requests[0].start
        return [_outside_kept(image, start) for image in images] if start and start.mask else images

    def with_face(
        self, request: ImageRequest, image: Image.Image, square: FaceSquare
    ) -> Generator[Event, None, Image.Image]:
        """Generate the face in this square again, at the size and with the prompt that the model was trained with."""
        side = self.plan.base_px
        start = StartImage(square.cut(image, side), self.plan.job.face_strength)
        prompt = self.plan.person_prompt
        [face] = yield from self._pass(
            [replace(request, prompt=prompt, width_px=side, height_px=side, start=start)]
        )
        return square.blended(image, face)

    def skipped_face(self) -> None:
        """Count the steps of a face pass that isn't needed."""
        self.done += self.plan.job.steps

    def _enlarged(self, requests: Sequence[ImageRequest], images: Images) -> Generator[Event, None, Images]:
        """Enlarge each picture and denoise it once more, alone: large pictures gain nothing from a batch."""
        width, height = self.plan.size
        large = []
        for request, image in zip(requests, images, strict=True):
            start = StartImage(
                image.resize((width, height), Image.Resampling.LANCZOS), self.plan.job.second_strength
            )
            large += yield from self._pass([replace(request, width_px=width, height_px=height, start=start)])
        return large

    def _pass(self, requests: Sequence[ImageRequest]) -> Generator[Event, None, Images]:
        """Yield the progress after each step, and a preview of the first picture now and then."""
        job, total, due = self.plan.job, self.plan.steps, time.monotonic() + _PREVIEW_SECONDS
        steps = generation_steps(self.parts, requests)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                self.done += job.steps * len(requests)
                yield from black_notes(requests, end.value)
                return end.value
            share = step.done / step.total
            yield Progress("Generating", self.done + int(share * job.steps * len(requests)), total)
            if (began := time.monotonic()) > due:
                yield Preview(self._preview(step.latents[0]))
                due = time.monotonic() + max(_PREVIEW_SECONDS, _REST * (time.monotonic() - began))

    def _preview(self, latents: Tensor) -> Image.Image:
        return tiny_preview(self.tiny, latents) if self.tiny else preview(self.parts.vae, latents)


def _outside_kept(image: Image.Image, start: StartImage) -> Image.Image:
    """The picture inside the mask, and the start image's own pixels outside."""
    assert start.mask is not None
    original = start.image.convert("RGB").resize(image.size, Image.Resampling.LANCZOS)
    mask = start.mask.convert("L").resize(image.size, Image.Resampling.LANCZOS)
    return Image.composite(
        image, original, mask.filter(ImageFilter.GaussianBlur(max(image.size) * _MASK_BLUR))
    )
