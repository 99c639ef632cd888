"""Teach a base model one person: DreamBooth of the whole UNet or a LoRA.

Ruiz et al. 2022, https://arxiv.org/abs/2208.12242.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgui.config import TrainJob
from dreamgui.data.dataset import Dataset
from dreamgui.diffusion.batches import make_batch
from dreamgui.diffusion.latents import EncodedPictures, encode_pictures
from dreamgui.diffusion.sample import Draw
from dreamgui.diffusion.schedule import NoiseSchedule, learning_rate_at
from dreamgui.diffusion.step import TrainingStep
from dreamgui.diffusion.text import cut_off_notes
from dreamgui.errors import NotEnoughPhotos, StopRequested
from dreamgui.events import Event, Loss, Note, Progress, Sampled, Saved
from dreamgui.models.catalog import UNET_FILE
from dreamgui.models.lora_files import LoraSettings
from dreamgui.recipes.class_images import class_images, class_job
from dreamgui.recipes.drawn import drawn
from dreamgui.recipes.trained_run import TrainedRun
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models, Parts

LEAST_PHOTOS = 3
SAMPLE_STEPS = 20
CHECKPOINT_SECONDS = 60
_CACHE = ".latents.safetensors"
Picture = tuple[Path, str]


def train(job: TrainJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Draw class images, encode everything once, then learn step by step.

    When stopped, what was learnt so far becomes a finished run, which can still be resumed.

    Raises:
        UnknownName: there is no such base, data set or run.
        NotEnoughPhotos: the data set has less than three pictures.
        NotEnoughDisk, NotEnoughMemory: said before anything is lost.
        TrainingFailed: the loss is no longer a number; the last checkpoint stays.
    """
    card = models.catalog.card(job.model)
    dataset = Dataset.load(workspace.find("datasets", job.dataset))
    photographs = _photographs(dataset, job)
    run = TrainedRun.resumed(job, workspace, models.catalog) if job.resume else TrainedRun.new(job, workspace)
    run.require_space(workspace, models.catalog.folder(job.model) / UNET_FILE)
    if dataset.size_px < card.size_px:
        yield Note(f"The crops of {dataset.size_px} pixels are enlarged to the base model's {card.size_px}.")

    class_pictures: list[Picture] = []
    if job.prior_preservation:
        files = yield from class_images(class_job(job, len(photographs)), workspace, models)
        class_pictures = [(file, job.class_prompt) for file in files]
        # The run's card names the number that was meant by leaving it open.
        run.job = run.job.model_copy(update={"class_count": len(files)})

    with models.train(job.model, _lora(job)) as parts:
        yield from _learn(job, parts, run, photographs, class_pictures)
        # Without this reference the manager gets the memory back at once.
        del parts
    yield Saved("run", run.name, run.folder)


def _learn(
    job: TrainJob,
    parts: Parts,
    run: TrainedRun,
    photographs: Sequence[Picture],
    class_pictures: Sequence[Picture],
) -> Iterator[Event]:
    """From pictures to a finished run; the methods differ only in which weights require a gradient."""
    began = time.monotonic()
    captions = [caption for _, caption in [*photographs, *class_pictures]]
    for sentence in cut_off_notes(parts.tokenizer, [*captions, *job.sample_prompts]):
        yield Note(sentence)

    # Everything is encoded once; the loop sees latents and embeddings only.
    instance = yield from _encoded(parts, photographs)
    prior = (yield from _encoded(parts, class_pictures)) if class_pictures else None
    schedule = NoiseSchedule(parts.scheduler_config, parts.device)
    training = TrainingStep(
        parts.unet, schedule, parts.dtype, job.prior_weight, job.min_snr_gamma, job.max_grad_norm
    )
    losses = (yield from _restored(run, training)) if job.resume else []
    earlier_seconds = sum(loss.seconds for loss in losses)
    run.begin()

    try:
        if not losses:
            yield from _samples(parts, job, 0)
        saved_at = told_at = time.monotonic()
        for step in range(len(losses) + 1, job.steps + 1):
            started = time.monotonic()
            rate = learning_rate_at(
                step, job.steps, job.effective_learning_rate, job.lr_schedule, job.warmup_steps
            )
            batch = make_batch(step, instance, prior, job.batch_size, job.seed, schedule.steps)
            report = training(batch, rate)
            seconds = time.monotonic() - started
            losses.append(Loss(step, report.instance, report.prior, rate, report.grad_norm, seconds))
            yield losses[-1]

            # Once a second: how far it is.
            if time.monotonic() - told_at > 1 or step == job.steps:
                told_at = time.monotonic()
                yield Progress("Training", step, job.steps)

            # Once in a while: pictures from the weights as they are now.
            if job.sample_every and (step % job.sample_every == 0 or step == job.steps):
                yield from _samples(parts, job, step)

            # Once in a while, and every minute at the latest: a checkpoint.
            due = step % job.checkpoint_every == 0 or time.monotonic() - saved_at > CHECKPOINT_SECONDS
            if due and step < job.steps:
                path = run.checkpoints.save(step, training, losses, run.settings)
                saved_at = time.monotonic()
                yield Saved("checkpoint", path.name, path)
    except StopRequested:
        if not losses:
            raise
        run.checkpoints.save(len(losses), training, losses, run.settings)
        yield Note(f"Stopped after {len(losses)} of {job.steps} steps; what was learnt so far is kept.")
    run.finish(parts.unet, parts.card, losses, earlier_seconds + time.monotonic() - began)


def _photographs(dataset: Dataset, job: TrainJob) -> list[Picture]:
    """Crops and captions. A crop whose caption is only the data set's instance prompt takes the job's."""
    pictures = [
        (path, job.instance_prompt if caption in ("", dataset.instance_prompt) else caption)
        for path, caption in dataset.images()
    ]
    if len(pictures) < LEAST_PHOTOS:
        raise NotEnoughPhotos(
            f"The data set {job.dataset!r} has {len(pictures)} pictures; a training needs {LEAST_PHOTOS}.",
            "Add photographs in the Dataset tab; ten to twenty are good.",
        )
    return pictures


def _lora(job: TrainJob) -> LoraSettings | None:
    if job.method == "unet":
        return None
    return LoraSettings(job.rank, job.effective_alpha, job.lora_targets, job.seed)


def _encoded(parts: Parts, pictures: Sequence[Picture]) -> Generator[Event, None, EncodedPictures]:
    """Encode pictures of one folder; what was encoded is kept in it for the next run."""
    encoding = encode_pictures(parts, pictures, pictures[0][0].parent / _CACHE)
    while True:
        try:
            done, total = next(encoding)
        except StopIteration as end:
            return end.value
        yield Progress("Encoding pictures", done, total)


def _restored(run: TrainedRun, training: TrainingStep) -> Generator[Event, None, list[Loss]]:
    """Put the newest whole checkpoint back; yields the losses so far again, so that the curve has no gap."""
    checkpoint, broken = run.checkpoints.newest()
    for name in broken:
        yield Note(f"The checkpoint {name} of {run.name!r} is damaged; the one before it is used.")
    if checkpoint is None:
        yield Note(f"The run {run.name!r} has no whole checkpoint; it starts from the beginning.")
        return []
    checkpoint.restore(training)
    yield Note(f"The run {run.name!r} goes on after step {checkpoint.step}.")
    yield from checkpoint.losses
    return list(checkpoint.losses)


def _samples(parts: Parts, job: TrainJob, step: int) -> Iterator[Event]:
    """One picture a prompt, always from the same noise, with the weights as they are."""
    if not job.sample_every:
        return
    for index, prompt in enumerate(job.sample_prompts):
        request = Draw(prompt, seed=job.seed + index, steps=SAMPLE_STEPS)
        image, *_ = yield from drawn(parts, [request], Progress("Training", step, job.steps))
        yield Sampled(step, prompt, request.seed, image)
