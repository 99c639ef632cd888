"""Generation inside a recipe: requests from its job, batches, and a chance to stop without a flood of events."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from dreamgui.config import GenerationSettings
from dreamgui.diffusion.control.residuals import ControlInput
from dreamgui.diffusion.sample import ImageRequest, generation_steps, pictures_at_once
from dreamgui.diffusion.text import prompt_notes
from dreamgui.diffusion.word_weights import plain_text, weight_notes
from dreamgui.events import Event, Note, Progress
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.models.loading import load_tokenizer

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts


def generated(
    parts: Parts, requests: Sequence[ImageRequest], progress: Progress, control: Sequence[ControlInput] = ()
) -> Generator[Event, None, list[Image.Image]]:
    """Generate pictures. Yield the given progress about once a second, and return the pictures."""
    told = time.monotonic()
    steps = generation_steps(parts, requests, control)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            yield from black_notes(requests, end.value)
            return end.value
        if time.monotonic() - told > 1:
            told = time.monotonic()
            yield progress


def black_notes(requests: Sequence[ImageRequest], images: Sequence[Image.Image]) -> Iterator[Note]:
    """A note on pictures without a single pixel that isn't black: a model whose numbers are NaN gives those.

    Pictures that begin with a start image are passed over, as that may be black itself.
    """
    pairs = zip(requests, images, strict=True)
    black = [str(one.seed) for one, image in pairs if one.start is None and image.getbbox() is None]
    if black:
        which = (
            f"picture of seed {black[0]} is"
            if len(black) == 1
            else f"pictures of seeds {', '.join(black)} are"
        )
        yield Note(
            f"The {which} black throughout: the model's numbers became NaN. Choose another model or LoRA strength."
        )


def request(job: GenerationSettings, prompt: str, seed: int) -> ImageRequest:
    """A picture of this prompt and seed with the job's settings."""
    return ImageRequest(
        prompt=prompt,
        negative_prompt=job.negative_prompt,
        seed=seed,
        steps=job.steps,
        guidance_scale=job.guidance_scale,
        scheduler=job.scheduler,
        word_weights=job.word_weights,
    )


def notes_on(
    prompts: Iterable[str], base: str, catalog: Catalog, word_weights: bool = False
) -> Iterator[Note]:
    """Notes on prompts that the base model of this name won't read as they were meant. No weights are loaded."""
    prompts = list(prompts)
    for sentence in dict.fromkeys(
        each for prompt in prompts for each in weight_notes(prompt) if word_weights
    ):
        yield Note(sentence)
    texts = map(plain_text, prompts) if word_weights else prompts
    for sentence in prompt_notes(load_tokenizer(catalog.folder(base)), texts):
        yield Note(sentence)


def batches(parts: Parts, requests: Sequence[ImageRequest]) -> Iterator[Sequence[ImageRequest]]:
    """Split requests into batches as large as the device takes well."""
    size = pictures_at_once(parts.device, parts.card.size_px, parts.card.size_px)
    return (requests[start : start + size] for start in range(0, len(requests), size))
