"""A training's step, made as its job wants it."""

from __future__ import annotations

from collections.abc import Callable

from dreamgui.config import TrainJob
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.diffusion.step import StepSettings, TrainingStep, recomputed
from dreamgui.models.manager import Parts
from dreamgui.models.together import compute_together


def make_step(
    job: TrainJob, parts: Parts, step_of: Callable[..., TrainingStep] = TrainingStep
) -> TrainingStep:
    """The step over a model that was lent for training; its UNet is changed to compute as fast as memory allows.

    ``step_of``: a step of this process alone, or one that it shares with others.
    """
    if job.gradient_checkpointing:
        parts.unet.enable_gradient_checkpointing(recomputed)
    elif job.method == "lora":
        compute_together(parts.unet)
    schedule = NoiseSchedule(parts.scheduler_config, parts.device)
    settings = StepSettings(**{name: getattr(job, name) for name in StepSettings.__dataclass_fields__})
    text_encoder = parts.text_encoder if job.train_text_encoder else None
    return step_of(parts.unet, schedule, parts.dtype, settings, text_encoder)
