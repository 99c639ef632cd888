"""One real step before a training starts: whether it fits, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dreamgui.config import PreflightJob
from dreamgui.data.dataset.opened import opened
from dreamgui.diffusion.generation import generated
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.diffusion.text import encode_prompts, tokenize
from dreamgui.errors import NotEnoughMemory
from dreamgui.events import Event, Note, Progress, Score
from dreamgui.models.catalog.catalog import UNET_FILE
from dreamgui.models.zero_gpu import uses_device
from dreamgui.sizes import file_size, memory_size
from dreamgui.training.memory.advice import smaller
from dreamgui.training.memory.tiers import fitted
from dreamgui.training.parallel.launch import require_shareable
from dreamgui.training.remarks import about_dataset
from dreamgui.training.settings import settled
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.compiler import compiled
from dreamgui.training.steps.graph import FastStep
from dreamgui.training.steps.make_step import lora_settings, make_step
from dreamgui.training.training_data import photographs
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models, Parts

LABEL = "Trying one step"
TIMED_STEPS = 3
STEPS = 1 + TIMED_STEPS
"""The first is slower than all others: kernels are chosen, the optimizer's state is made."""
CHECKPOINT_TIMES = 6
"""A checkpoint holds fp32 weights and two moments of AdamW, in terms of the fp16 file."""


@dataclass(frozen=True)
class Measured:
    """Measurements: seconds a step and a generated picture, peak memory and disk in bytes (None: not told)."""

    step_seconds: float
    picture_seconds: float
    memory_bytes: int | None
    memory_total_bytes: int | None
    file_bytes: int
    checkpoint_bytes: int
    precision: str


@uses_device
def preflight(job: PreflightJob, workspace: Workspace, models: Models) -> Generator[Event, None, None]:
    """Load everything as a training does, take a few steps at a rate of 0 on noise, generate one picture.

    Nothing is kept. What a training would refuse is refused here with the same sentence. Where GPUs split the
    weights, what it needs is told by estimate.

    Raises:
        UnknownName, AlreadyRunning, NotEnoughPhotos, BadInput: as :func:`dreamgui.recipes.train.train`.
        NotEnoughMemory: it doesn't fit; the message names the setting that helps most.
    """
    job, notes = settled(job, workspace, models.catalog)
    card = models.catalog.card(job.model)
    dataset = yield from opened(workspace, job.dataset)
    # First what decides the result: the page folds later notes.
    yield from about_dataset(dataset, job.instance_prompt, card.size_px)
    for sentence in notes:
        yield Note(sentence)
    training_images = photographs(dataset, job)
    choice = fitted(job, models)
    assert isinstance(choice.job, PreflightJob)
    job = choice.job
    if choice.sentence:
        yield Note(choice.sentence)
    if job.shard:
        yield from _estimated(job, choice.need_bytes, workspace, models)
        return
    yield Progress(LABEL, 0, STEPS + 1)
    try:
        with models.train(job.model, lora_settings(job), job.train_text_encoder, job.bf16_weights) as parts:
            found = yield from _measured(job, parts, models, workspace.compiled)
            del parts
    except NotEnoughMemory as error:
        raise NotEnoughMemory(error.what, smaller(job, choice.tighter)) from None
    disk_bytes = found.file_bytes + (job.keep_checkpoints + 2) * found.checkpoint_bytes
    workspace.require_space(disk_bytes, "The training, with its checkpoints,")
    class_count = (job.class_count or 10 * len(training_images.instance)) if job.prior_preservation else 0
    for sentence in _sentences(job, found, class_count, disk_bytes):
        yield Note(sentence)
    yield Score("preflight", _figures(job, found, class_count, disk_bytes))


def _estimated(job: PreflightJob, need_bytes: int, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Yield estimates for a training whose weights are split: this process alone can't take a step of it."""
    require_shareable(job, models.device)
    file_bytes = (models.catalog.folder(job.model) / UNET_FILE).stat().st_size
    disk_bytes = file_bytes * (1 + (job.keep_checkpoints + 2) * CHECKPOINT_TIMES)
    workspace.require_space(disk_bytes, "The training, with its checkpoints,")
    yield Note(
        f"Split over {job.processes} GPUs, a step needs about {memory_size(need_bytes)} of each, by estimate: it isn't "
        "tried here, as it takes all of them."
    )
    yield Note(
        f"On the disk: {file_size(file_bytes)} for the run, up to {file_size(disk_bytes)} with checkpoints."
    )
    yield Score("preflight", {"memory_bytes": need_bytes, "disk_bytes": disk_bytes})


def _measured(
    job: PreflightJob, parts: Parts, models: Models, cache: Path
) -> Generator[Event, None, Measured]:
    training = make_step(job, parts)
    batch = _noise(job, parts, training.schedule.steps)
    parts.offloadable.offload()
    for sentence in compiled(training, batch, cache) if job.compile else ():
        yield Note(sentence)
    fast = FastStep(training)
    cuda = parts.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for number in range(STEPS):
        began = time.perf_counter()
        training.read(fast.launch(batch, 0.0).tolist())
        seconds.append(time.perf_counter() - began)
        yield Progress(LABEL, number + 1, STEPS + 1)
    began = time.perf_counter()
    with parts.offloadable.resident():
        yield from generated(
            parts, [ImageRequest(job.class_prompt, steps=job.sample_steps)], Progress(LABEL, STEPS, STEPS + 1)
        )
    picture = time.perf_counter() - began
    status = models.status()
    total = sum(weight.numel() for weight in parts.unet.parameters())
    learning = sum(weight.numel() for weight in training.trained.values())
    return Measured(
        step_seconds=min(seconds[1:]),
        picture_seconds=picture,
        memory_bytes=torch.cuda.max_memory_allocated() if cuda else None,
        memory_total_bytes=status["memory_total_bytes"] if cuda else None,
        file_bytes=2 * (total if job.method == "unet" else learning),
        checkpoint_bytes=2 * CHECKPOINT_TIMES * learning,
        precision=str(parts.dtype).removeprefix("torch."),
    )


def _noise(job: PreflightJob, parts: Parts, timestep_count: int) -> Batch:
    """A batch of the right shape: as many pictures as a step will have."""
    size = job.batch_size * job.accumulate
    count = 2 * size if job.prior_preservation else size
    side = parts.card.size_px // 2 ** (len(_config(parts.vae).block_out_channels) - 1)
    text = encode_prompts(parts.text_encoder, parts.tokenizer, [job.instance_prompt])
    embedded = next(iter(text.values())).float().expand(count, -1, -1).contiguous()
    tokens = tokenize(parts.tokenizer, job.instance_prompt).to(parts.device).expand(count, -1).contiguous()
    chance = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, count, 4, side, side, generator=chance).to(parts.device)
    timesteps = torch.randint(0, timestep_count, (count,), generator=chance).to(parts.device)
    return Batch(latents, noise, timesteps, embedded, size, tokens if job.train_text_encoder else None)


def _config(module: Any) -> Any:
    return module.config


def _seconds(job: PreflightJob, found: Measured, class_count: int) -> dict[str, float]:
    """Return how long each part will take, at most: class images that are there already aren't generated again."""
    samples = len(job.sample_prompts) * (job.steps // job.sample_every + 1) if job.sample_every else 0
    return {
        "steps": job.steps * found.step_seconds,
        "class images": class_count * found.picture_seconds * job.class_steps / job.sample_steps,
        "samples": samples * found.picture_seconds,
    }


def _sentences(job: PreflightJob, found: Measured, class_count: int, disk_bytes: int) -> Iterator[str]:
    times = _seconds(job, found, class_count)
    parts = ", ".join(f"{name} {_duration(value)}" for name, value in times.items() if value)
    yield f"It fits. {job.steps} steps of {found.step_seconds:.2f} s: about {_duration(sum(times.values()))} ({parts})."
    if found.memory_bytes is not None and found.memory_total_bytes:
        yield (
            f"Memory at its peak: {memory_size(found.memory_bytes)} of {memory_size(found.memory_total_bytes)}."
        )
    yield (
        f"On the disk: {file_size(found.file_bytes)} for the run, up to {file_size(disk_bytes)} with checkpoints."
    )
    yield f"It computes in {found.precision} with the optimizer {job.optimizer!r}, at a rate of {job.effective_learning_rate:g}."


def _figures(
    job: PreflightJob, found: Measured, class_count: int, disk_bytes: int
) -> dict[str, float | None]:
    return {
        "step_seconds": found.step_seconds,
        "picture_seconds": found.picture_seconds,
        "seconds": sum(_seconds(job, found, class_count).values()),
        "memory_bytes": found.memory_bytes,
        "disk_bytes": disk_bytes,
    }


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{round(whole / 60)} min"
