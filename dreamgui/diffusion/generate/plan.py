"""A generate job with everything filled in that it leaves open: model, sizes, seeds, words for the person."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dreamgui.config import GenerateJob, TrainJob
from dreamgui.config.generate import RANDOM_SEED, lora_use
from dreamgui.data.photos.load import load_image
from dreamgui.diffusion.generate.sizes import fitting, is_large
from dreamgui.diffusion.generation import request
from dreamgui.diffusion.person_words import person_of
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.diffusion.start import StartImage
from dreamgui.errors import BadInput
from dreamgui.models.catalog.cards import ModelSpec
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.pictures.made import Made

TOKEN = "{token}"


@dataclass(frozen=True)
class Plan:
    """A job ready to be generated.

    Attributes:
        job: the job, its prompt's token filled in.
        base_px: side of the pictures that the base model was trained on.
        size: of the finished pictures, width and height in pixels.
        requests: of the first pass.
        dataset: that the run was trained on; empty for a base model.
        person_prompt: the run's instance prompt, for the face pass; a class prompt for a base model.
        made: settings of each picture for its file; seed and size follow.
    """

    job: GenerateJob
    spec: ModelSpec
    base_px: int
    size: tuple[int, int]
    requests: Sequence[ImageRequest]
    dataset: str
    person_prompt: str
    made: Made

    @property
    def first_size(self) -> tuple[int, int]:
        """Width and height of the first pass in pixels."""
        first = self.requests[0]
        return first.width_px or self.base_px, first.height_px or self.base_px

    @property
    def two_passes(self) -> bool:
        """Return whether the first pass is smaller than the finished picture."""
        return self.first_size != self.size

    @property
    def passes(self) -> int:
        """Number of times that each picture is denoised."""
        return 1 + self.two_passes + self.job.face_pass

    @property
    def steps(self) -> int:
        """Denoising steps of all pictures in all passes."""
        return self.job.count * self.passes * self.job.steps

    def remarks(self) -> Iterator[str]:
        """Sentences on the size."""
        width, height = self.size
        if self.two_passes:
            first_width, first_height = self.first_size
            yield (
                f"{width}x{height} in two passes, the first one {first_width}x{first_height}: the base model was "
                f"trained on {self.base_px}x{self.base_px}."
            )
        elif is_large(self.size, self.base_px):
            yield (
                f"{width}x{height} in one pass: the base model was trained on {self.base_px}x{self.base_px} and may "
                "double heads. Switch on two passes."
            )


def plan_of(job: GenerateJob, catalog: Catalog) -> Plan:
    """Fill in what the job leaves open.

    Raises:
        UnknownName: there is no such model or LoRA.
        BadInput: a run isn't finished, or a further LoRA is a whole UNet.
        BadPhoto: the start image or the mask can't be read.
    """
    spec = replace(catalog.spec(job.model, job.lora_scale), more_loras=_more_loras(job, catalog))
    base_px = catalog.card(spec.base).size_px
    start = _start(job)
    size = job.width_height or (fitting(start.image.size, base_px) if start else (base_px, base_px))
    run = catalog.run(job.model) if spec.unet_run or spec.lora_run else None
    person_prompt = run.job.get("instance_prompt") if run else None
    person_prompt = (
        person_prompt or TrainJob.model_fields["instance_prompt" if run else "class_prompt"].default
    )
    filled = job.model_copy(update={"prompt": job.prompt.replace(TOKEN, person_of(person_prompt))})
    first = fitting(size, base_px) if job.two_passes and is_large(size, base_px) else size
    seed = random.randrange(2**31 - job.count) if job.seed == RANDOM_SEED else job.seed
    requests = [
        replace(
            request(filled, filled.prompt, seed + number), width_px=first[0], height_px=first[1], start=start
        )
        for number in range(job.count)
    ]
    made = _made(filled, spec, catalog, first, size)
    return Plan(filled, spec, base_px, size, requests, run.dataset if run else "", person_prompt, made)


def _more_loras(job: GenerateJob, catalog: Catalog) -> tuple[tuple[str, float], ...]:
    """Names and strengths of the further LoRAs, each a finished run."""
    uses = [lora_use(line) for line in job.loras]
    for name, _ in uses:
        if not catalog.spec(name).lora_run:
            raise BadInput(
                f"{name!r} is no LoRA.", "Choose it as the model, or extract a LoRA from it first."
            )
    return tuple(uses)


def _start(job: GenerateJob) -> StartImage | None:
    if job.image is None:
        return None
    return StartImage(
        load_image(job.image), job.image_strength, load_image(job.mask).convert("L") if job.mask else None
    )


def _made(
    job: GenerateJob, spec: ModelSpec, catalog: Catalog, first: tuple[int, int], size: tuple[int, int]
) -> Made:
    """Return how all pictures are made, by the names that A1111 gives the settings."""
    own = [(spec.lora_run, spec.lora_scale)] if spec.lora_run else []
    more = {"Denoising strength": f"{job.image_strength:g}"} if job.image else {}
    if first != size:
        more["Denoising strength"] = f"{job.second_strength:g}"
        more |= {"Hires upscale": f"{size[0] / first[0]:.3g}", "Hires upscaler": "Lanczos"}
    if job.face_pass:
        more["Face pass"] = f"{job.face_strength:g}"
    return Made(
        prompt=job.prompt,
        negative_prompt=job.negative_prompt,
        steps=job.steps,
        sampler=job.scheduler,
        guidance_scale=job.guidance_scale,
        model=spec.unet_run or spec.base,
        model_hash="" if spec.unet_run else catalog.card(spec.base).sha256[:10],
        loras=tuple(
            (name, _lora_hash(catalog.run_file(name)), strength)
            for name, strength in (*own, *spec.more_loras)
        ),
        more=more,
    )


def _lora_hash(path: Path) -> str:
    """Twelve digits of a LoRA file's SHA-256 without its header, by which A1111 and civitai know it."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        file.seek(8 + header_bytes)
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
