"""Pictures of a token from a base model, before any training."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from dreamgui.config import TokensJob
from dreamgui.diffusion.generation import generated
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.diffusion.text import prompt_notes
from dreamgui.events import Cell, Event, Note, Progress, Score
from dreamgui.models.catalog.catalog import ModelSpec
from dreamgui.models.tokens import token_report
from dreamgui.models.zero_gpu import uses_device
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


@uses_device
def tokens(job: TokensJob, workspace: Workspace, models: Models) -> Generator[Event, None, None]:
    """Report the token, then generate "a photo of TOKEN" from several seeds with the unchanged base.

    Raises:
        UnknownName: there is no such base.
    """
    prompt, label = f"a photo of {job.token}", "Generating the token"
    with models.use(ModelSpec(job.model)) as parts:
        report = token_report(job.token, parts.tokenizer, parts.text_encoder)
        for sentence in [*report.sentences, *prompt_notes(parts.tokenizer, [prompt])]:
            yield Note(sentence)
        yield Score(job.token, {"tokens": float(len(report.ids)), "rarity": round(report.rarity, 4)})
        for done in range(job.count):
            yield Progress(label, done, job.count)
            request = ImageRequest(
                prompt, seed=job.seed + done, steps=job.steps, guidance_scale=job.guidance_scale
            )
            (image,) = yield from generated(parts, [request], Progress(label, done, job.count))
            yield Cell(job.model, prompt, request.seed, image)
    yield Progress(label, job.count, job.count)
    yield Note("If these pictures show something of its own, choose a rarer token.")
