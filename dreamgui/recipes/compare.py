"""The same prompts with the same seeds through several models, measured and written down."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import Image

from dreamgui.config import CompareJob
from dreamgui.data.dataset.opened import opened
from dreamgui.diffusion.generation import batches, generated, notes_on, request
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.errors import StopRequested
from dreamgui.evaluate.collecting import Collected, judges_for
from dreamgui.evaluate.comparison import Comparison
from dreamgui.evaluate.document import fonts
from dreamgui.evaluate.drift import CLASS_PICTURES
from dreamgui.evaluate.earlier.reuse import EarlierPictures, weights_sha256
from dreamgui.evaluate.measures.sface import SFace, fetched, from_workspace
from dreamgui.evaluate.model_rows import ModelRow, compared_rows, model_row
from dreamgui.evaluate.person import person_of
from dreamgui.evaluate.repeat import read_report
from dreamgui.evaluate.reports.compare_report import compare_document
from dreamgui.evaluate.reports.plane_report import suggestion_sentences
from dreamgui.evaluate.reports.report import versions, write_report
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.models.zero_gpu import uses_device
from dreamgui.names import name_notes
from dreamgui.training.prompts import followed_run
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

__all__ = ["compare", "model_row"]
_BYTES_A_PICTURE = 2_000_000


@uses_device
def compare(job: CompareJob, workspace: Workspace, models: Models) -> Generator[Event, None, Comparison]:
    """Generate each prompt from each of its seeds through every model, measure the pictures, write reports/NAME.

    Prompts and dataset that weren't given are those of the first run. The first seeds of all prompts come first. Where
    one of the models was trained, each also generates a few pictures of the class, without the person's token, to see
    whether the class was kept. When stopped, what was generated becomes the report. With ``from_`` the settings are
    those of an earlier report, and the new one says how many pictures are identical; otherwise pictures that an earlier
    report has with the same weights and settings are taken from there.

    Returns:
        What was found (to whoever delegates to this recipe).

    Raises:
        UnknownName: there is no such model or dataset.
        BadInput: a run isn't finished, or the earlier report or a CLIP can't be read.
        BadModelFile: a second recogniser can't be read.
    """
    began = time.monotonic()
    earlier = read_report(job.from_, job.report, workspace) if job.from_ else None
    job = earlier.job if earlier else job
    rows = compared_rows(job, models.catalog)
    for row in rows:
        models.catalog.spec(row.known_as)
    job, notes = followed_run(job.with_preset(), workspace, models.catalog)
    class_prompt = next((row.class_prompt for row in rows if row.class_prompt), "")
    total = len(rows) * (len(job.prompts) * job.seeds + (CLASS_PICTURES if class_prompt else 0))
    workspace.require_space(total * _BYTES_A_PICTURE, f"A comparison of {total} pictures")

    found: Collected | None = None
    stopped = False
    try:
        yield Progress("Comparing", 0, total)
        for sentence in notes:
            yield Note(sentence)
        rows = [replace(row, sha256=weights_sha256(models.catalog, row)) for row in rows]
        yield from notes_on([*job.prompts, job.negative_prompt], rows[0].base, models.catalog)
        yield from _missing_letters([*job.prompts, *(row.name for row in rows)])
        if job.fetch_sface and not job.recogniser:
            yield from fetched(workspace)
        second = SFace(job.recogniser) if job.recogniser else from_workspace(workspace)
        dataset = yield from opened(workspace, job.dataset)
        person = person_of(dataset, second)
        demo = all(models.catalog.card(row.base).family == "demo" for row in rows)
        judges = judges_for(job, dataset, demo)
        for sentence in person.reference.notes:
            yield Note(sentence)
        found = Collected(job, rows, class_prompt, person, earlier, judges)
        machine = {"device": models.status()["device"], **versions()}
        before = EarlierPictures(workspace, machine) if job.reuse and not earlier else None
        for row in found.rows:
            yield from _row(found, row, models, total, before)
    except StopRequested:
        if found is None or not found.cells:
            raise
        stopped = True
        wanted = len(rows) * len(job.prompts) * job.seeds
        yield Note(f"Stopped after {len(found.cells)} of {wanted} pictures; they become the report.")
    comparison = found.comparison(models.status()["device"], time.monotonic() - began, stopped)
    yield from _written(comparison, workspace)
    return comparison


def _row(
    found: Collected, row: ModelRow, models: Models, total: int, before: EarlierPictures | None
) -> Generator[Event, None, None]:
    """All pictures of one row. Those of earlier reports aren't generated again."""
    job, missing = found.job, []
    for number in range(job.seeds):
        for column, prompt in enumerate(job.prompts):
            asked = _asked(job, row, prompt, job.seed_of(column, number))
            picture = before.picture(job, row, prompt, asked.seed) if before else None
            if picture is None:
                missing.append(asked)
            else:
                yield found.add(row.name, prompt, asked.seed, picture, reused=True)
    count = CLASS_PICTURES if found.class_prompt else 0
    wanted = [_asked(job, row, found.class_prompt, job.seed + number) for number in range(count)]
    known = [before.picture(job, row, asked.prompt, asked.seed) if before else None for asked in wanted]
    pictures = [picture for picture in known if picture is not None]
    if len(pictures) == count:
        found.reused += count
        wanted = []
    if missing or wanted:
        new = yield from _generated(found, row, models, total, missing, wanted)
        pictures = new if wanted else pictures
    found.finish(row.name, pictures)
    yield Progress("Comparing", found.count, total)
    yield from found.news()


def _generated(
    found: Collected,
    row: ModelRow,
    models: Models,
    total: int,
    missing: Sequence[ImageRequest],
    of_class: Sequence[ImageRequest],
) -> Generator[Event, None, list[Image.Image]]:
    """Generate a row's cells. Return its pictures without the token."""
    strength = found.job.lora_scale if row.strength is None else row.strength
    pictures: list[Image.Image] = []
    with models.use(models.catalog.spec(row.known_as, strength)) as parts:
        for batch in batches(parts, missing):
            images = yield from generated(parts, batch, Progress("Comparing", found.count, total))
            for asked, image in zip(batch, images, strict=True):
                yield found.add(row.name, asked.prompt, asked.seed, image)
                yield Progress("Comparing", found.count, total)
        for batch in batches(parts, of_class):
            so_far = Progress("Comparing", found.count + len(pictures), total)
            pictures += yield from generated(parts, batch, so_far)
    return pictures


def _asked(job: CompareJob, row: ModelRow, prompt: str, seed: int) -> ImageRequest:
    guidance = job.guidance_scale if row.guidance_scale is None else row.guidance_scale
    scheduler = row.scheduler or job.scheduler
    return replace(request(job, prompt, seed), scheduler=scheduler, guidance_scale=guidance)


def _written(comparison: Comparison, workspace: Workspace) -> Iterator[Event]:
    """The report on the disk."""
    wanted = comparison.job.report
    name = workspace.fresh("reports", wanted or time.strftime("compare-%Y%m%d-%H%M%S"))
    for sentence in name_notes(wanted, name):
        yield Note(sentence)
    for sentence in suggestion_sentences(comparison):
        yield Note(sentence)
    for told in (comparison.reused_sentence, comparison.repeated.sentence if comparison.repeated else ""):
        if told:
            yield Note(told)
    folder = workspace.place("reports", name)
    write_report(compare_document(comparison, name), folder)
    yield Saved("report", name, folder)


def _missing_letters(texts: Sequence[str]) -> Iterator[Note]:
    if letters := fonts.missing("".join(texts)):
        yield Note(
            f"No font on this machine has {letters[:20]!r}: the contact sheet shows boxes in their place. Install "
            "one that has them, for instance Noto Sans CJK."
        )
