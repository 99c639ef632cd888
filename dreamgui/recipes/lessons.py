"""What a training learns from: pictures of a data set and of the class, encoded once."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dreamgui.config import TrainSettings
from dreamgui.data.dataset import Dataset
from dreamgui.diffusion.batches import Batch, make_batch, validation_batches
from dreamgui.diffusion.latents import EncodedPictures, Picture, encode_pictures
from dreamgui.diffusion.sample import PICTURE_BYTES
from dreamgui.errors import NotEnoughPhotos
from dreamgui.events import Event, Progress
from dreamgui.models.companions import Companions
from dreamgui.models.device import free_bytes

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts

LEAST_PHOTOS = 3
_CACHE = ".latents.safetensors"


@dataclass(frozen=True)
class Material:
    """The pictures before they are encoded: to learn from, of the class, and never to learn from."""

    instance: Sequence[Picture]
    prior: Sequence[Picture]
    held_out: Sequence[Picture]

    @property
    def captions(self) -> list[str]:
        """All that the text encoder will read."""
        return [picture.caption for picture in (*self.instance, *self.prior, *self.held_out)]


@dataclass(frozen=True)
class Lessons:
    """Encoded material; a step's batch follows from its number and the job's seed alone."""

    job: TrainSettings
    instance: EncodedPictures
    prior: EncodedPictures | None
    held_out: EncodedPictures | None

    def batch(self, step: int, timestep_count: int) -> Batch:
        """What step number ``step`` learns from."""
        size = self.job.batch_size * self.job.accumulate
        return make_batch(
            step, self.instance, self.prior, size, self.job.seed, timestep_count, self.job.offset_noise
        )

    def validation(self, timestep_count: int) -> list[Batch]:
        """The held-out photographs, always with the same noise; empty where there are none."""
        return validation_batches(self.held_out, timestep_count) if self.held_out else []

    def embedded(self, text_encoder: Any) -> Lessons:
        """The same with the captions as a text encoder that has learnt now sees them."""
        encoded = {
            name: pictures and pictures.embedded(text_encoder)
            for name, pictures in (
                ("instance", self.instance),
                ("prior", self.prior),
                ("held_out", self.held_out),
            )
        }
        return replace(self, **encoded)


def photographs(dataset: Dataset, job: TrainSettings) -> Material:
    """Crops with captions and faces. A crop whose caption is only the data set's prompt takes the job's.

    Raises:
        NotEnoughPhotos: there are less than three to learn from.
    """
    faces = {dataset.path(entry): entry.face_in_crop for entry in dataset.entries}

    def picture(path: Path, caption: str) -> Picture:
        own = caption not in ("", dataset.instance_prompt)
        return Picture(path, caption if own else job.instance_prompt, faces[path])

    learnt = [picture(*each) for each in dataset.images()]
    if len(learnt) < LEAST_PHOTOS:
        raise NotEnoughPhotos(
            f"The data set {job.dataset!r} has {len(learnt)} pictures; a training needs {LEAST_PHOTOS}.",
            "Add photographs in the Dataset tab; ten to twenty are good.",
        )
    if job.random_flips:
        learnt += [each._replace(mirrored=True) for each in learnt]
    held_out = [picture(*each) for each in dataset.held_out()] if job.validate_every else []
    return Material(learnt, [], held_out)


def encode(parts: Parts, job: TrainSettings, material: Material) -> Generator[Event, None, Lessons]:
    """Encode everything once; what was encoded is kept beside the pictures for the next run."""
    with _room_to_encode(parts):
        instance = yield from _encoded(parts, material.instance, job.face_weight)
        prior = (yield from _encoded(parts, material.prior)) if material.prior else None
        held_out = (yield from _encoded(parts, material.held_out)) if material.held_out else None
    return Lessons(job, instance, prior, held_out)


@contextmanager
def _room_to_encode(parts: Parts) -> Iterator[None]:
    """Where memory is tight the UNet leaves meanwhile, lest encoding be the peak of a small training."""
    unet = Companions([parts.unet], parts.device)
    if _is_tight(parts.device):
        unet.rest()
    try:
        yield
    finally:
        if unet.resting:
            unet.wake()


def _is_tight(device: torch.device) -> bool:
    return device.type == "cuda" and free_bytes(device) < 2 * PICTURE_BYTES


def _encoded(
    parts: Parts, pictures: Sequence[Picture], face_weight: float = 1.0
) -> Generator[Event, None, EncodedPictures]:
    encoding = encode_pictures(parts, pictures, pictures[0].path.parent / _CACHE, face_weight)
    while True:
        try:
            done, total = next(encoding)
        except StopIteration as end:
            return end.value
        yield Progress("Encoding pictures", done, total)
