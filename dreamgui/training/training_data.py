"""Data of a training: images of a dataset and of the class, encoded once."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dreamgui.config import TrainSettings
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.diffusion.latents import EncodedPictures, Picture, encode_pictures
from dreamgui.diffusion.sample import PICTURE_BYTES
from dreamgui.errors import NotEnoughPhotos
from dreamgui.events import Event, Progress
from dreamgui.models.device import free_bytes
from dreamgui.models.offload import Offloadable
from dreamgui.training.steps.batches import Batch, make_batch, validation_batches

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts

LEAST_PHOTOS = 3
_CACHE = ".latents.safetensors"


@dataclass(frozen=True)
class TrainingImages:
    """The pictures before they are encoded: to train on, of the class, and held-out ones."""

    instance: Sequence[Picture]
    prior: Sequence[Picture]
    held_out: Sequence[Picture]
    dataset: Path | None = None
    """Folder of the dataset; None where samples aren't measured."""

    @property
    def captions(self) -> list[str]:
        """Return all texts that the text encoder will read."""
        return [picture.caption for picture in (*self.instance, *self.prior, *self.held_out)]


@dataclass(frozen=True)
class TrainingData:
    """Encoded training data. A step's batch follows from its number and the job's seed alone."""

    job: TrainSettings
    instance: EncodedPictures
    prior: EncodedPictures | None
    held_out: EncodedPictures | None

    def batch(self, step: int, timestep_count: int) -> Batch:
        """Return what step number ``step`` trains on."""
        size = self.job.batch_size * self.job.accumulate
        return make_batch(
            step, self.instance, self.prior, size, self.job.seed, timestep_count, self.job.offset_noise
        )

    def validation(self, timestep_count: int) -> list[Batch]:
        """The held-out photographs, always with the same noise, or nothing where there are none."""
        return validation_batches(self.held_out, timestep_count) if self.held_out else []

    def embedded(self, text_encoder: Any) -> TrainingData:
        """The same with the captions as a text encoder that has trained now sees them."""
        encoded = {
            name: pictures and pictures.embedded(text_encoder)
            for name, pictures in (
                ("instance", self.instance),
                ("prior", self.prior),
                ("held_out", self.held_out),
            )
        }
        return replace(self, **encoded)


def photographs(dataset: Dataset, job: TrainSettings) -> TrainingImages:
    """Crops with captions and faces. A crop whose caption is only the dataset's prompt takes the job's.

    Raises:
        NotEnoughPhotos: there are less than three to train on.
    """
    faces = {dataset.path(entry): entry.face_in_crop for entry in dataset.entries}

    def picture(path: Path, caption: str) -> Picture:
        own = caption not in ("", dataset.instance_prompt)
        return Picture(path, caption if own else job.instance_prompt, faces[path])

    trained_on = [picture(*each) for each in dataset.images()]
    if len(trained_on) < LEAST_PHOTOS:
        raise NotEnoughPhotos(
            f"The dataset {job.dataset!r} has {len(trained_on)} pictures; a training needs {LEAST_PHOTOS}.",
            "Add photographs in the Dataset tab; ten to twenty are good.",
        )
    if job.random_flips:
        trained_on += [each._replace(mirrored=True) for each in trained_on]
    held_out = [picture(*each) for each in dataset.held_out()] if job.validate_every else []
    return TrainingImages(trained_on, [], held_out, dataset.folder)


def encode(
    parts: Parts, job: TrainSettings, training_images: TrainingImages
) -> Generator[Event, None, TrainingData]:
    """Encode everything once. What was encoded is kept beside the pictures for the next run."""
    with _room_to_encode(parts):
        instance = yield from _encoded(parts, training_images.instance, job.face_weight)
        prior = (yield from _encoded(parts, training_images.prior)) if training_images.prior else None
        held_out = (
            (yield from _encoded(parts, training_images.held_out)) if training_images.held_out else None
        )
    return TrainingData(job, instance, prior, held_out)


@contextmanager
def _room_to_encode(parts: Parts) -> Iterator[None]:
    """Offload the UNet meanwhile where memory is tight: encoding would be the peak of a small training."""
    unet = Offloadable([parts.unet], parts.device)
    if _is_tight(parts.device):
        unet.offload()
    try:
        yield
    finally:
        if unet.offloaded:
            unet.reload()


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
