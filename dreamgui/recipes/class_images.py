"""Pictures of the class, drawn by the base itself: what it must not forget while it learns one person."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgui.config import ClassImagesJob, Framing, TrainSettings
from dreamgui.data.class_set import MOST, Look, Slot, framed_prompt, mix_of, plan, read_drawn
from dreamgui.data.dataset import Dataset
from dreamgui.data.framing import FRAMINGS
from dreamgui.data.own_class import keep_square, own_shelf, pictures_in
from dreamgui.data.photos import shown_name
from dreamgui.diffusion.sample import Draw
from dreamgui.diffusion.text import cut_off_notes
from dreamgui.errors import BadPhoto, NotEnoughPhotos
from dreamgui.events import ClassImage, Event, Note, Progress, Saved, Skipped
from dreamgui.models.catalog import ModelCard, ModelSpec
from dreamgui.recipes.class_drawing import TRIES, ClassDrawing
from dreamgui.workspace import Workspace, write_json

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

SETTINGS = "settings.json"
LABEL = "Class images"
A_PHOTOGRAPH = 10


def class_images(
    job: ClassImagesJob, workspace: Workspace, models: Models
) -> Generator[Event, None, list[Path]]:
    """Draw the class images that aren't there yet; each is kept as soon as it is right.

    The same model, prompts, steps, guidance and seed find their pictures again, however many are asked for
    and in whichever mix of framings. With ``class_folder`` the user's own pictures are taken instead.

    Returns:
        The files, to whoever delegates to this recipe: ``class_count`` drawn ones, or at most so many of the
        user's own.

    Raises:
        UnknownName: there is no such base model or data set.
        BadInput, NotEnoughPhotos: the folder can't be read, or holds no picture that can be.
        NotEnoughDisk: the pictures don't fit on the disk.
    """
    card = models.catalog.card(job.model)
    if job.class_folder is not None:
        return (yield from _own_pictures(job, job.class_folder.expanduser(), card, workspace))
    slots = plan(job.class_count, _mix(job, workspace))
    settings = class_settings(job, card)
    folder = workspace.place("classes", class_key(job.class_prompt, settings))
    kept = {slot: look for slot in slots if (look := read_drawn(folder / slot.file, slot.framing))}
    missing = [slot for slot in slots if slot not in kept]
    if missing:
        workspace.require_space(len(missing) * 3 * card.size_px**2)
        write_json(folder / SETTINGS, settings)
    for slot in kept:
        yield ClassImage(slot.index, folder / slot.file)
    if kept:
        yield Note(f"{len(kept)} class images of these settings are there already.")
    if missing:
        yield from _draw_missing(job, models, folder, kept, missing)
    yield Progress(LABEL, len(slots), len(slots))
    yield Saved("class images", folder.name, folder)
    return [folder / slot.file for slot in slots]


def class_job(training: TrainSettings, photographs: int) -> ClassImagesJob:
    """The class images that a training wants: all fields that both jobs have.

    Where the number is left open it is ten a photograph, or all pictures of the user's own folder.
    """
    shared = ClassImagesJob.model_fields.keys() & type(training).model_fields.keys()
    given = {name: getattr(training, name) for name in shared}
    usual = MOST if training.class_folder else min(MOST, A_PHOTOGRAPH * photographs)
    return ClassImagesJob.model_validate({**given, "class_count": training.class_count or usual})


def class_settings(job: ClassImagesJob, card: ModelCard) -> dict[str, object]:
    """All that decides what the class images look like; which of them a set takes doesn't."""
    return {
        "model": card.sha256 or card.name,
        "size_px": card.size_px,
        "prompts": [framed_prompt(job.class_prompt, framing) for framing in (None, *FRAMINGS)],
        "negative_prompt": job.class_negative_prompt,
        "steps": job.class_steps,
        "guidance_scale": job.class_guidance_scale,
        "seed": job.class_seed,
        "scheduler": Draw("").scheduler,
        "tries": TRIES,
    }


def class_key(class_prompt: str, settings: Mapping[str, object]) -> str:
    """The name of the folder on the shelf ``classes``: readable in front, and another for other settings."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return f"{class_prompt[:40]}-{digest[:12]}"


def _mix(job: ClassImagesJob, workspace: Workspace) -> Mapping[Framing, int] | None:
    """How many of each framing the set imitates; None where all have the class prompt alone."""
    if not job.class_variants:
        return None
    return mix_of(Dataset.load(workspace.find("datasets", job.dataset)) if job.dataset else None)


def _draw_missing(
    job: ClassImagesJob, models: Models, folder: Path, kept: Mapping[Slot, Look], missing: Sequence[Slot]
) -> Generator[Event, None, None]:
    """Draw what isn't there, and tell what didn't come as asked for."""
    framings = {slot.framing for slot in missing}
    with models.use(ModelSpec(job.model)) as parts:
        prompts = [
            framed_prompt(job.class_prompt, framing) for framing in (None, *FRAMINGS) if framing in framings
        ]
        for sentence in cut_off_notes(parts.tokenizer, [*prompts, job.class_negative_prompt]):
            yield Note(sentence)
        drawing = ClassDrawing(job, parts, folder, kept)
        yield from drawing.draw(missing, Progress(LABEL, len(kept), len(kept) + len(missing)))
        for sentence in drawing.notes():
            yield Note(sentence)


def _own_pictures(
    job: ClassImagesJob, source: Path, card: ModelCard, workspace: Workspace
) -> Generator[Event, None, list[Path]]:
    """Squares of the pictures in the user's folder; those made before are found again."""
    files = pictures_in(source)
    total = min(len(files), job.class_count)
    shelf = own_shelf(workspace, source, card.size_px)
    workspace.require_space(total * 3 * card.size_px**2)
    found: dict[Path, None] = {}
    for file in files:
        if len(found) == job.class_count:
            yield Note(f"The folder holds {len(files)} pictures; {job.class_count} of them are used.")
            break
        try:
            square = keep_square(file, shelf, card.size_px)
        except BadPhoto as reason:
            yield Skipped(shown_name(file), reason.what)
            continue
        if square in found:
            yield Skipped(shown_name(file), "It is the same file as one before it.")
            continue
        found[square] = None
        yield ClassImage(len(found) - 1, square)
        yield Progress(LABEL, len(found), total)
    if not found:
        raise NotEnoughPhotos(
            f"None of the {len(files)} pictures in {source} can be used.",
            "Name a folder of JPEG or PNG files.",
        )
    yield Note(f"{len(found)} pictures of your own are the class images.")
    yield Saved("class images", shelf.name, shelf)
    return list(found)
