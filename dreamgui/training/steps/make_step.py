"""The training step and the LoRA settings of a job."""

from __future__ import annotations

from dreamgui.config import TrainJob
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.models.lora.adapters import LoraSettings
from dreamgui.models.manager import Parts
from dreamgui.ops.changes import Stage, inject
from dreamgui.training.steps.peers import Peers
from dreamgui.training.steps.settings import StepSettings
from dreamgui.training.steps.step import TrainingStep, recomputed


def make_step(job: TrainJob, parts: Parts, peers: Peers | None = None) -> TrainingStep:
    """Make the step of a model lent for training. Its UNet is changed to compute as fast as memory allows.

    ``peers``: the other processes of the training; None where there are none.
    """
    if job.gradient_checkpointing:
        parts.unet.enable_gradient_checkpointing(recomputed)
    elif job.method == "lora":
        inject(parts.unet, Stage.LORA_STEP, parts.device)
    schedule = NoiseSchedule(parts.scheduler_config, parts.device)
    settings = StepSettings(**{name: getattr(job, name) for name in StepSettings.__dataclass_fields__})
    text_encoder = parts.text_encoder if job.train_text_encoder else None
    return TrainingStep(parts.unet, schedule, parts.dtype, settings, text_encoder, peers)


def lora_settings(job: TrainJob) -> LoraSettings | None:
    """Return the job's LoRA settings, or None where the whole UNet is trained."""
    if job.method == "unet":
        return None
    return LoraSettings(job.rank, job.effective_alpha, job.lora_targets, job.seed, job.dora)
