"""Pictures of one model, kept with everything that made them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dreamgui.config import GenerateJob
from dreamgui.data.dataset.opened import opened
from dreamgui.data.faces.identity import Likeness
from dreamgui.diffusion.generate.face_pass import face_square
from dreamgui.diffusion.generate.passes import Passes
from dreamgui.diffusion.generate.plan import Plan, plan_of
from dreamgui.diffusion.generate.tiny_decoder import tiny_decoder
from dreamgui.diffusion.generation import batches, notes_on
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.errors import BadInput, BadModelFile, StopRequested
from dreamgui.evaluate.reference import reference_of
from dreamgui.events import Cell, Event, Note, Progress, Saved
from dreamgui.models.zero_gpu import uses_device
from dreamgui.names import composed
from dreamgui.pictures.store import keep_picture
from dreamgui.workspace import Workspace, write_atomic

if TYPE_CHECKING:
    from dreamgui.models.manager import Models, Parts

BEFORE = "before the face pass"
_PICTURE_BYTES = 8_000_000


@uses_device
def generate(job: GenerateJob, workspace: Workspace, models: Models) -> Generator[Event, None, None]:
    """Generate pictures batch by batch. Keep each in ``pictures/DAY`` with everything that made it.

    When stopped, the finished pictures are kept.

    Raises:
        UnknownName: there is no such model or LoRA.
        BadInput: a run isn't finished, a further LoRA is a whole UNet, or the folder of copies can't be made.
        BadPhoto: the start image or the mask can't be read.
        NotEnoughDisk: a copy doesn't fit.
    """
    copies = _folder_of_copies(job)
    plan = plan_of(job, models.catalog)
    workspace.require_space(job.count * _PICTURE_BYTES, f"{job.count} pictures")
    yield Progress("Generating", 0, plan.steps)
    for sentence in plan.remarks():
        yield Note(sentence)
    texts = [plan.job.prompt, job.negative_prompt]
    yield from notes_on(texts, plan.spec.base, models.catalog, job.word_weights)
    person = yield from _person(plan, workspace)
    kept = 0
    try:
        with models.use(plan.spec) as parts:
            passes = Passes(parts, plan, (yield from _tiny_decoder(plan, parts, models, workspace)))
            for batch in batches(parts, plan.requests):
                images = yield from passes.generated(batch)
                for request, image in zip(batch, images, strict=True):
                    finished, figures = image, {}
                    if job.face_pass:
                        finished, figures = yield from _faced(passes, request, image, person)
                    # Counted first: Stop may come while it is told.
                    kept += 1
                    yield from _kept(plan, request, finished, figures, workspace, copies)
    except StopRequested:
        if not kept:
            raise
        yield Note(f"Stopped after {kept} of {job.count} pictures; they are kept.")


def _folder_of_copies(job: GenerateJob) -> Path | None:
    """The folder that each picture is copied to, made, or None where none is wanted."""
    if job.out is None:
        return None
    folder = job.out.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} can't be made: {error.strerror}.", "Name another folder.") from error
    return folder


def _copy(picture: Path, folder: Path) -> None:
    """Copy a picture under its day, number and seed. A file of this name stays, and the copy gets a number."""
    name = f"{picture.parent.name}-{picture.stem}"
    target = folder / f"{name}.png"
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{name}-{number}.png"
    write_atomic(target, picture.read_bytes())


def _tiny_decoder(
    plan: Plan, parts: Parts, models: Models, workspace: Workspace
) -> Generator[Event, None, Any]:
    """TAESD beside the base model or in the workspace, or None without one, and with a note where it is broken."""
    try:
        folders = (models.catalog.folder(plan.spec.base), workspace.root)
        return tiny_decoder(folders, parts.device, parts.dtype)
    except BadModelFile as error:
        yield Note(str(error))
        return None


def _person(plan: Plan, workspace: Workspace) -> Generator[Event, None, Likeness | None]:
    """The person of the run's dataset, to measure what the face pass did, or None without one."""
    if not plan.job.face_pass or composed(plan.dataset) not in workspace.names("datasets"):
        return None
    reference = reference_of((yield from opened(workspace, plan.dataset)))
    yield Note(reference.sentence)
    return reference.person


def _faced(
    passes: Passes, request: ImageRequest, image: Image.Image, person: Likeness | None
) -> Generator[Event, None, tuple[Image.Image, dict[str, float | None]]]:
    """The picture with its face generated again, and the likeness before and after."""
    square = face_square(image)
    if square is None:
        passes.skipped_face()
        yield Note(f"Seed {request.seed}: no face is so small that it needs the face pass.")
        return image, {}
    before = {"likeness": person.score(image)} if person else {}
    yield Cell(f"{passes.plan.job.model}, {BEFORE}", request.prompt, request.seed, image, before)
    finished = yield from passes.with_face(request, image, square)
    if person is None:
        return finished, {}
    return finished, {"likeness": person.score(finished), "likeness_before": before["likeness"]}


def _kept(
    plan: Plan,
    request: ImageRequest,
    image: Image.Image,
    figures: dict[str, float | None],
    workspace: Workspace,
    copies: Path | None,
) -> Generator[Event, None, None]:
    job = plan.job.model_dump(mode="json", exclude={"image", "mask", "out", "count"}) | {"seed": request.seed}
    made = replace(plan.made, seed=request.seed, size_px=image.size)
    path = keep_picture(workspace, image, made, job, figures)
    if copies:
        _copy(path, copies)
    yield Cell(plan.job.model, request.prompt, request.seed, path, figures)
    yield Saved("picture", f"{path.parent.name}/{path.stem}", path)
