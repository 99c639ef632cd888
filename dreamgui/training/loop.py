"""The training loop: from pictures to a finished run, step by step.

Ruiz et al. 2022, https://arxiv.org/abs/2208.12242.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from dreamgui import bootstrap
from dreamgui.config import TrainJob
from dreamgui.diffusion.generation import generated
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.diffusion.schedule import learning_rate_at
from dreamgui.diffusion.text import prompt_notes
from dreamgui.errors import SliceOver, StopRequested, TrainingFailed
from dreamgui.events import Begun, Event, Note, Progress, Sampled, Saved
from dreamgui.models.device import is_out_of_memory
from dreamgui.training.checkpoint_rhythm import CheckpointRhythm
from dreamgui.training.checkpoints import MovementGuard
from dreamgui.training.likeness import LikenessWatch
from dreamgui.training.loss_log import Board, LossLog
from dreamgui.training.remarks import after_training, before_training
from dreamgui.training.run_folder import TrainedRun
from dreamgui.training.run_requests import SAMPLE, SAVE, RunRequests
from dreamgui.training.steps.compiler import compiled
from dreamgui.training.steps.graph import FastStep
from dreamgui.training.steps.make_step import make_step
from dreamgui.training.steps.peers import Peers
from dreamgui.training.steps.step import TrainingStep
from dreamgui.training.training_data import TrainingImages, encode

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts

LOOK_SECONDS = 1.0


def training_loop(
    job: TrainJob,
    parts: Parts,
    run: TrainedRun,
    training_images: TrainingImages,
    peers: Peers | None = None,
) -> Iterator[Event]:
    """Train from pictures to a finished run. The methods differ only in which weights require a gradient.

    ``peers``: the other processes of the training; None where there are none.
    """
    began = time.monotonic()
    for sentence in prompt_notes(
        parts.tokenizer, [*training_images.captions, *job.sample_prompts], trained=True
    ):
        yield Note(sentence)
    yield from before_training(job)

    # Everything is encoded once; the loop sees latents and embeddings only.
    training_data = yield from encode(parts, job, training_images)
    parts.offloadable.offload()
    training = make_step(job, parts, peers)
    schedule = training.schedule
    if job.compile:
        for sentence in compiled(training, training_data.batch(1, schedule.steps), run.compiler_cache):
            yield Note(sentence)
    fast, told_why = FastStep(training), parts.device.type != "cuda"
    log = LossLog(training, parts.device, Board(run.folder / "tensorboard") if job.tensorboard else None)
    log.by_likeness = job.finish_with == "best" and job.best_by == "likeness"
    watch = LikenessWatch(training_images.dataset, log)
    if job.resume:
        yield from _restored(run, training, log, job.resume_from)
    first, earlier_seconds = len(log.losses) + 1, log.seconds
    guard = MovementGuard(training) if first > 1 else None
    held_out = training_data.validation(schedule.steps)
    run.begin()
    requests = RunRequests(run.folder)
    requests.forget()
    yield Begun("run", run.name)

    samples_fit = True
    try:
        if first == 1 and job.sample_every:
            samples_fit = yield from _samples(parts, training, job, 0, watch)
        rhythm, told_at = CheckpointRhythm(job), time.monotonic()
        for step in range(first, job.steps + 1):
            started, last = time.monotonic(), step == job.steps
            if training.text_trains and step > job.text_steps:
                training.freeze_text()
                training_data = training_data.embedded(parts.text_encoder)
                held_out = training_data.validation(schedule.steps)
            shape = learning_rate_at(step, job.steps, 1.0, job.lr_schedule, job.warmup_steps)
            rate, text_rate = (
                shape * r for r in (job.effective_learning_rate, job.effective_text_learning_rate)
            )
            measured = fast.launch(training_data.batch(step, schedule.steps), rate, text_rate)
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
                yield from watch.news()
                sample_now, save_now = requests.take(SAMPLE), requests.take(SAVE)
            agreed = training.peers.from_first(sample_now, save_now or rhythm.is_late)
            sample_now, save_now = map(bool, agreed)

            # Once in a while: the loss on photographs that aren't trained on.
            if held_out and (step % job.validate_every == 0 or last):
                yield from log.rest()
                yield log.validated(step, training.validate(held_out))

            # Once in a while: pictures from the weights as they are now.
            due = job.sample_every and (step % job.sample_every == 0 or last)
            judged = log.by_likeness and (rhythm.falls_on(step) or last)
            sample_now = sample_now or bool(due or judged)
            if sample_now and samples_fit:
                yield from log.rest()
                samples_fit = yield from _samples(parts, training, job, step, watch)

            # Once in a while, and after so many seconds at the latest: a checkpoint.
            if rhythm.is_due(step, save_now):
                yield from log.rest()
                yield from watch.news(wait=log.by_likeness)
                path = run.save_checkpoint(training, log)
                rhythm.saved()
                yield Saved("checkpoint", path.name, path)
            if rhythm.keeps_model(step):
                run.save_snapshot(training, parts, step, earlier_seconds + time.monotonic() - began)
            if bootstrap.is_over() and not last:
                raise SliceOver
        yield from log.rest()
        yield from watch.news(wait=True)
    except StopRequested as stop:
        log.rest()
        list(watch.news(wait=True))
        if not log.losses:
            raise
        run.save_checkpoint(training, log)
        if isinstance(stop, SliceOver):
            raise
        yield Note(f"Stopped after {len(log.losses)} of {job.steps} steps; what was trained so far is kept.")
    except TrainingFailed as error:
        raise TrainingFailed(error.what, f"{error.next_step} {run.checkpoints.kept}") from error
    yield from after_training(job, log.losses)
    if job.finish_with == "best" and (step := run.put_best_back(training, log)):
        why = "likeness was highest" if log.by_likeness else "loss was lowest"
        yield Note(f"The run is kept as it was after step {step}, where its {why}.")
    run.finish(training, parts, log, earlier_seconds + time.monotonic() - began)


def _restored(
    run: TrainedRun, training: TrainingStep, log: LossLog, step: int
) -> Generator[Event, None, None]:
    """Put the whole checkpoint of a step back (0: the newest). Yield the losses so far again, so that the curve
    has no gap."""
    checkpoint, broken = run.checkpoints.newest(step)
    for name in broken:
        yield Note(f"The checkpoint {name} of {run.name!r} is damaged; the one before it is used.")
    if checkpoint is None:
        yield Note(f"The run {run.name!r} has no whole checkpoint; it starts from the beginning.")
        return
    checkpoint.restore(training)
    yield Note(f"The run {run.name!r} goes on after step {checkpoint.step}.")
    yield from log.restored(checkpoint.losses, checkpoint.validations, checkpoint.likenesses)


def _samples(
    parts: Parts, training: TrainingStep, job: TrainJob, step: int, watch: LikenessWatch
) -> Generator[Event, None, bool]:
    """One picture a prompt, always from the same noise, with the weights as they would be kept.

    Returns:
        Whether there was memory for them beside the training, which goes on in any case.
    """
    images = []
    try:
        with parts.offloadable.resident(), training.settled():
            for index, prompt in enumerate(job.sample_prompts):
                request = ImageRequest(prompt, seed=job.seed + index, steps=job.sample_steps)
                told = f"Sampling {index + 1} of {len(job.sample_prompts)}; training"
                yield (doing := Progress(told, step, job.steps))
                image, *_ = yield from generated(parts, [request], doing)
                images.append(image)
                yield Sampled(step, prompt, request.seed, image)
    except RuntimeError as error:
        # Where weights are split the others wait for what this process would have given.
        if training.peers.sharded or not is_out_of_memory(error):
            raise
    else:
        watch.look(step, images)
        return True
    yield Note("The training goes on without samples: there is no memory for them beside it.")
    return False
