"""Teach a base model one person: DreamBooth of the whole UNet or a LoRA.

Ruiz et al. 2022, https://arxiv.org/abs/2208.12242.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from dreamgui.config import TrainJob
from dreamgui.data.dataset.opened import opened
from dreamgui.diffusion.latents import Picture
from dreamgui.errors import NotEnoughMemory
from dreamgui.events import Event, Note, Saved
from dreamgui.models.catalog.catalog import UNET_FILE
from dreamgui.models.zero_gpu import uses_device
from dreamgui.names import name_notes
from dreamgui.recipes.class_images import class_images, class_job
from dreamgui.training.loop import training_loop
from dreamgui.training.memory.advice import smaller
from dreamgui.training.memory.tiers import fitted
from dreamgui.training.origin import origin_of
from dreamgui.training.parallel.launch import SharedTraining, require_shareable, train_together
from dreamgui.training.remarks import about_dataset
from dreamgui.training.resumable import training_lock
from dreamgui.training.run_folder import TrainedRun
from dreamgui.training.settings import settled
from dreamgui.training.steps.make_step import lora_settings
from dreamgui.training.training_data import photographs
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


@uses_device
def train(job: TrainJob, workspace: Workspace, models: Models) -> Generator[Event, None, None]:
    """Generate class images, encode everything once, then train step by step.

    When stopped, what was trained so far becomes a finished run, which can still be resumed. Settings that weren't given come from the resumed run, or follow the dataset
    (:func:`dreamgui.training.settings.settled`).

    Raises:
        UnknownName: there is no such base, dataset or run.
        AlreadyRunning: another job or process trains the run.
        NotEnoughPhotos: the dataset has less than three pictures.
        NotEnoughDisk, NotEnoughMemory: said before anything is lost.
        BadInput: what an optimizer or TensorBoard needs isn't installed, the processes can't share a step,
            ways to save memory can't go together, or the run can't be resumed so.
        TrainingFailed: the loss is no longer a number; the last checkpoint stays.
    """
    job, notes = settled(job, workspace, models.catalog)
    if job.processes > 1:
        require_shareable(job, models.device)
    run = TrainedRun.resumed(job, workspace, models.catalog) if job.resume else TrainedRun.new(job, workspace)
    with training_lock(run.folder):
        for sentence in notes:
            yield Note(sentence)
        yield from _trained(job, run, workspace, models)
    yield Saved("run", run.name, run.folder)


def _trained(job: TrainJob, run: TrainedRun, workspace: Workspace, models: Models) -> Iterator[Event]:
    """From settled settings to the finished run, in this process or in several."""
    card = models.catalog.card(job.model)
    dataset = yield from opened(workspace, job.dataset)
    training_images = photographs(dataset, job)
    if not job.resume:
        for sentence in name_notes(job.run, run.name):
            yield Note(sentence)
    run.origin = origin_of(models.catalog, job.model, dataset)
    run.require_space(workspace, models.catalog.folder(job.model) / UNET_FILE)
    # From here on the job is what its memory tier makes of it; the run's card keeps what was asked for.
    choice = fitted(job, models, run.begun)
    job, run.memory = choice.job, choice.settings
    if choice.sentence:
        yield Note(choice.sentence)
    yield from about_dataset(dataset, job.instance_prompt, card.size_px)

    if job.prior_preservation:
        files = yield from class_images(class_job(job, len(dataset.images())), workspace, models)
        training_images = replace(training_images, prior=[Picture(file, job.class_prompt) for file in files])
        # The run's card names the number that was meant by leaving it open.
        run.job = run.job.model_copy(update={"class_count": len(files)})

    try:
        if job.processes > 1:
            yield from train_together(
                SharedTraining(job, run, training_images, workspace, models.device.type), models
            )
        else:
            with models.train(
                job.model, lora_settings(job), job.train_text_encoder, job.bf16_weights
            ) as parts:
                yield from training_loop(job, parts, run, training_images)
                # Without this reference the manager gets the memory back at once.
                del parts
    except NotEnoughMemory as error:
        raise NotEnoughMemory(error.what, smaller(job, choice.tighter)) from None
