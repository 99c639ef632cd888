"""What a base model draws for a token before it learns a new meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dreamgui.config import TokensJob
from dreamgui.diffusion.sample import Draw
from dreamgui.events import Cell, Event, Note, Progress, Score
from dreamgui.models.catalog import ModelSpec
from dreamgui.models.tokens import token_report
from dreamgui.recipes.drawn import drawn
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


def tokens(job: TokensJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Report the token, then draw "a photo of TOKEN" from several seeds with the unchanged base.

    Raises:
        UnknownName: there is no such base.
    """
    prompt, label = f"a photo of {job.token}", "Drawing the token"
    with models.use(ModelSpec(job.model)) as parts:
        report = token_report(job.token, parts.tokenizer, parts.text_encoder)
        for sentence in report.sentences:
            yield Note(sentence)
        yield Score(job.token, {"tokens": float(len(report.ids)), "rarity": round(report.rarity, 4)})
        for done in range(job.count):
            yield Progress(label, done, job.count)
            request = Draw(prompt, seed=job.seed + done, steps=job.steps, guidance_scale=job.guidance_scale)
            (image,) = yield from drawn(parts, [request], Progress(label, done, job.count))
            yield Cell(job.model, prompt, request.seed, image)
    yield Progress(label, job.count, job.count)
    yield Note("If these pictures show something of its own, choose a rarer token.")
