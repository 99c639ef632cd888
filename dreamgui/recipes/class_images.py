"""Pictures of the class, drawn by the base itself: what it must not forget while it learns one person."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dreamgui.config import ClassImagesJob
from dreamgui.diffusion.sample import Draw, pictures_at_once
from dreamgui.diffusion.text import cut_off_notes
from dreamgui.events import ClassImage, Event, Note, Progress, Saved
from dreamgui.models.catalog import ModelCard, ModelSpec
from dreamgui.recipes.drawn import drawn
from dreamgui.workspace import Workspace, write_atomic, write_json

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

SETTINGS = "settings.json"
_LABEL = "Class images"


def class_images(
    job: ClassImagesJob, workspace: Workspace, models: Models
) -> Generator[Event, None, list[Path]]:
    """Draw the class images that aren't there yet; each is kept as soon as it is drawn.

    The same model, prompts, steps, guidance and seed find their pictures again, however many are asked for.
    The picture number i has the seed ``class_seed + i``.

    Returns:
        The files, ``class_count`` of them (to whoever delegates to this recipe).

    Raises:
        UnknownName: there is no such base model.
        NotEnoughDisk: the pictures don't fit on the disk.
    """
    card = models.catalog.card(job.model)
    settings = class_settings(job, card)
    folder = workspace.place("classes", class_key(settings))
    files = [folder / f"{index:05d}.png" for index in range(job.class_count)]
    missing = [index for index, file in enumerate(files) if not _is_whole(file)]
    if missing:
        workspace.require_space(len(missing) * 3 * card.size_px**2)
        write_json(folder / SETTINGS, settings)
    for index in sorted(set(range(job.class_count)) - set(missing)):
        yield ClassImage(index, files[index])
    if len(missing) < job.class_count:
        yield Note(f"{job.class_count - len(missing)} class images of these settings are there already.")
    if missing:
        with models.use(ModelSpec(job.model)) as parts:
            for sentence in cut_off_notes(parts.tokenizer, [job.class_prompt, job.class_negative_prompt]):
                yield Note(sentence)
            room = pictures_at_once(parts.device, card.size_px, card.size_px)
            for start in range(0, len(missing), room):
                batch = missing[start : start + room]
                progress = Progress(_LABEL, job.class_count - len(missing) + start, job.class_count)
                images = yield from drawn(parts, [_request(job, index) for index in batch], progress)
                for index, image in zip(batch, images, strict=True):
                    _write(files[index], image)
                for index in batch:
                    yield ClassImage(index, files[index])
    yield Progress(_LABEL, job.class_count, job.class_count)
    yield Saved("class images", folder.name, folder)
    return files


def class_settings(job: ClassImagesJob, card: ModelCard) -> dict[str, object]:
    """All that decides what the class images look like."""
    chosen = job.model_dump(mode="json", exclude={"class_count"})
    return {**chosen, "sha256": card.sha256, "size_px": card.size_px, "scheduler": Draw("").scheduler}


def class_key(settings: dict[str, object]) -> str:
    """The name of the folder on the shelf ``classes``: readable in front, and another for other settings."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return f"{settings['model']}-{digest[:12]}"


def _request(job: ClassImagesJob, index: int) -> Draw:
    return Draw(
        job.class_prompt,
        job.class_negative_prompt,
        seed=job.class_seed + index,
        steps=job.class_steps,
        guidance_scale=job.class_guidance_scale,
    )


def _is_whole(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            image.verify()
    except (OSError, SyntaxError):
        return False
    return True


def _write(file: Path, image: Image.Image) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_atomic(file, buffer.getvalue())
