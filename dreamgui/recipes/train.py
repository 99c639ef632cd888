"""Teach a base model one person: DreamBooth of the whole UNet or a LoRA.

Ruiz et al. 2022, https://arxiv.org/abs/2208.12242.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from dreamgui.config import TrainJob
from dreamgui.data.dataset import Dataset
from dreamgui.diffusion.checkpoints import MovementGuard
from dreamgui.diffusion.compiler import compiled
from dreamgui.diffusion.graph import FastStep
from dreamgui.diffusion.latents import Picture
from dreamgui.diffusion.sample import Draw
from dreamgui.diffusion.schedule import learning_rate_at
from dreamgui.diffusion.step import TrainingStep
from dreamgui.diffusion.text import cut_off_notes
from dreamgui.errors import NotEnoughMemory, StopRequested
from dreamgui.events import Begun, Event, Note, Progress, Sampled, Saved
from dreamgui.models.catalog import UNET_FILE
from dreamgui.models.device import is_out_of_memory
from dreamgui.models.lora_files import LoraSettings
from dreamgui.recipes.class_images import class_images, class_job
from dreamgui.recipes.drawn import drawn
from dreamgui.recipes.launch import Plan, require_shareable, train_together
from dreamgui.recipes.lessons import Material, encode, photographs
from dreamgui.recipes.loss_log import Board, LossLog
from dreamgui.recipes.split import why_not_split
from dreamgui.recipes.stepping import make_step
from dreamgui.recipes.tiers import fitted
from dreamgui.recipes.trained_run import TrainedRun
from dreamgui.recipes.wishes import SAMPLE, SAVE, Wishes
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models, Parts

SAMPLE_STEPS = 20
CHECKPOINT_SECONDS = 60
LOOK_SECONDS = 1.0


def train(job: TrainJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Draw class images, encode everything once, then learn step by step.

    When stopped, what was learnt so far becomes a finished run, which can still be resumed.

    Raises:
        UnknownName: there is no such base, data set or run.
        NotEnoughPhotos: the data set has less than three pictures.
        NotEnoughDisk, NotEnoughMemory: said before anything is lost.
        BadInput: what an optimizer or TensorBoard needs isn't installed, the processes can't share a step, or
            ways to save memory can't go together.
        TrainingFailed: the loss is no longer a number; the last checkpoint stays.
    """
    if job.processes > 1:
        require_shareable(job, models.device)
    card = models.catalog.card(job.model)
    dataset = Dataset.load(workspace.find("datasets", job.dataset))
    material = photographs(dataset, job)
    run = TrainedRun.resumed(job, workspace, models.catalog) if job.resume else TrainedRun.new(job, workspace)
    run.require_space(workspace, models.catalog.folder(job.model) / UNET_FILE)
    # From here on the job is what its memory tier makes of it; the run's card keeps what was asked for.
    choice = fitted(job, models, run.begun)
    job, run.memory = choice.job, choice.settings
    if choice.told:
        yield Note(choice.told)
    if dataset.size_px < card.size_px:
        yield Note(f"The crops of {dataset.size_px} pixels are enlarged to the base model's {card.size_px}.")

    if job.prior_preservation:
        files = yield from class_images(class_job(job, len(dataset.images())), workspace, models)
        material = replace(material, prior=[Picture(file, job.class_prompt) for file in files])
        # The run's card names the number that was meant by leaving it open.
        run.job = run.job.model_copy(update={"class_count": len(files)})

    try:
        if job.processes > 1:
            yield from train_together(Plan(job, run, material, workspace, models.device.type), models)
        else:
            with models.train(
                job.model, lora_settings(job), job.train_text_encoder, job.bf16_weights
            ) as parts:
                yield from learn(job, parts, run, material)
                # Without this reference the manager gets the memory back at once.
                del parts
    except NotEnoughMemory as error:
        raise NotEnoughMemory(error.what, smaller(job, choice.tighter)) from None
    yield Saved("run", run.name, run.folder)


def learn(
    job: TrainJob,
    parts: Parts,
    run: TrainedRun,
    material: Material,
    step_of: Callable[..., TrainingStep] = TrainingStep,
) -> Iterator[Event]:
    """From pictures to a finished run; the methods differ only in which weights require a gradient.

    ``step_of`` makes the step: of this process alone, or one that it shares with others.
    """
    began = time.monotonic()
    for sentence in cut_off_notes(parts.tokenizer, [*material.captions, *job.sample_prompts]):
        yield Note(sentence)

    # Everything is encoded once; the loop sees latents and embeddings only.
    lessons = yield from encode(parts, job, material)
    parts.companions.rest()
    training = make_step(job, parts, step_of)
    schedule = training.schedule
    if job.compile:
        for sentence in compiled(training, lessons.batch(1, schedule.steps), run.compiler_cache):
            yield Note(sentence)
    fast, told_why = FastStep(training), parts.device.type != "cuda"
    log = LossLog(training, parts.device, Board(run.folder / "tensorboard") if job.tensorboard else None)
    if job.resume:
        yield from _restored(run, training, log)
    first, earlier_seconds = len(log.losses) + 1, log.seconds
    guard = MovementGuard(training) if first > 1 else None
    held_out = lessons.validation(schedule.steps)
    run.begin()
    wishes = Wishes(run.folder)
    wishes.forget()
    yield Begun("run", run.name)

    samples_fit = True
    try:
        if first == 1 and job.sample_every:
            samples_fit = yield from _samples(parts, training, job, 0)
        saved_at = told_at = time.monotonic()
        for step in range(first, job.steps + 1):
            started, last = time.monotonic(), step == job.steps
            if training.text_learns and step > job.text_steps:
                training.freeze_text()
                lessons = lessons.embedded(parts.text_encoder)
                held_out = lessons.validation(schedule.steps)
            shape = learning_rate_at(step, job.steps, 1.0, job.lr_schedule, job.warmup_steps)
            rate, text_rate = (
                shape * r for r in (job.effective_learning_rate, job.effective_text_learning_rate)
            )
            measured = fast.launch(lessons.batch(step, schedule.steps), rate, text_rate)
            yield from log.add(step, rate, measured, started)
            if fast.reason and not told_why:
                told_why = True
                yield Note(fast.reason)
            if guard:
                guard.look(last)

            # Once a second: how far it is, and what the user asks for meanwhile.
            sample_now = save_now = False
            if time.monotonic() - told_at > LOOK_SECONDS or last:
                told_at = time.monotonic()
                yield Progress("Training", step, job.steps)
                sample_now, save_now = wishes.take(SAMPLE), wishes.take(SAVE)
            save_now = save_now or time.monotonic() - saved_at > CHECKPOINT_SECONDS
            sample_now, save_now = training.as_the_first(sample_now, save_now)

            # Once in a while: how the weights do on photographs that they don't learn from.
            if held_out and (step % job.validate_every == 0 or last):
                yield from log.rest()
                yield log.validated(step, training.validate(held_out))

            # Once in a while: pictures from the weights as they are now.
            sample_now = sample_now or bool(job.sample_every and (step % job.sample_every == 0 or last))
            if sample_now and samples_fit:
                yield from log.rest()
                samples_fit = yield from _samples(parts, training, job, step)

            # Once in a while, and every minute at the latest: a checkpoint.
            if (step % job.checkpoint_every == 0 or save_now) and not last:
                yield from log.rest()
                path = run.save_checkpoint(training, log)
                saved_at = time.monotonic()
                yield Saved("checkpoint", path.name, path)
        yield from log.rest()
    except StopRequested:
        log.rest()
        if not log.losses:
            raise
        run.save_checkpoint(training, log)
        yield Note(f"Stopped after {len(log.losses)} of {job.steps} steps; what was learnt so far is kept.")
    if job.finish_with == "best" and (step := run.put_best_back(training, log)):
        yield Note(f"The run is kept as it was after step {step}, where its loss was lowest.")
    run.finish(training, parts, log, earlier_seconds + time.monotonic() - began)


def lora_settings(job: TrainJob) -> LoraSettings | None:
    """What the job says of its LoRA; None where the whole UNet learns."""
    if job.method == "unet":
        return None
    return LoraSettings(job.rank, job.effective_alpha, job.lora_targets, job.seed, job.dora)


def _restored(run: TrainedRun, training: TrainingStep, log: LossLog) -> Generator[Event, None, None]:
    """Put the newest whole checkpoint back; yields the losses so far again, so that the curve has no gap."""
    checkpoint, broken = run.checkpoints.newest()
    for name in broken:
        yield Note(f"The checkpoint {name} of {run.name!r} is damaged; the one before it is used.")
    if checkpoint is None:
        yield Note(f"The run {run.name!r} has no whole checkpoint; it starts from the beginning.")
        return
    checkpoint.restore(training)
    yield Note(f"The run {run.name!r} goes on after step {checkpoint.step}.")
    yield from log.restored(checkpoint.losses, checkpoint.validations)


def _samples(parts: Parts, training: TrainingStep, job: TrainJob, step: int) -> Generator[Event, None, bool]:
    """One picture a prompt, always from the same noise, with the weights as they would be kept.

    Returns:
        Whether there was memory for them beside the training, which goes on in any case.
    """
    try:
        with parts.companions.awake(), training.settled():
            for index, prompt in enumerate(job.sample_prompts):
                request = Draw(prompt, seed=job.seed + index, steps=SAMPLE_STEPS)
                image, *_ = yield from drawn(parts, [request], Progress("Training", step, job.steps))
                yield Sampled(step, prompt, request.seed, image)
    except RuntimeError as error:
        # Where weights are split the others wait for what this process would have given.
        if training.sharded or not is_out_of_memory(error):
            raise
    else:
        return True
    yield Note("The training goes on without samples: there is no memory for them beside it.")
    return False


def smaller(job: TrainJob, tier: str = "") -> str:
    """What to change when memory was short, the least harm first; ``tier``: how to use the next memory tier."""
    half, sums = job.batch_size // 2, job.accumulate * 2
    if half and half % job.processes == 0 and not job.optimizer_in_backward:
        return f"Set the batch to {half} and add up {sums} batches: it learns the same in less memory."
    if not job.gradient_checkpointing:
        return "Turn gradient checkpointing on: it learns the same, more slowly, in less memory."
    if not job.shard and why_not_split(job) is None:
        return f"Split the weights over the {job.processes} GPUs: it learns the same, each holds a part."
    if tier:
        return tier
    if job.batch_size > job.processes:
        return f"Set the batch to {half}."
    if job.train_text_encoder:
        return "Leave the text encoder as it is."
    if job.ema_decay:
        return "Don't average the weights: that is another copy of them."
    if job.method == "unet":
        return "Train a LoRA in place of the whole UNet: it needs about a fifth of the memory."
    return "Choose a smaller rank or a base model of smaller pictures, and close other programs."
