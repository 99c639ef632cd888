"""Loss of a training step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.settings import StepSettings


@dataclass(frozen=True)
class Losses:
    """Scalars on the device: ``total`` is minimised, ``instance`` and ``prior`` (or None) are shown."""

    total: Tensor
    instance: Tensor
    prior: Tensor | None


def dreambooth_loss(
    prediction: Tensor,
    batch: Batch,
    schedule: NoiseSchedule,
    settings: StepSettings | None = None,
) -> Losses:
    """Mean squared error of a prediction [n, 4, h, w], instance and class pictures apart, weighed by latent.

    DreamBooth's prior preservation: Ruiz et al. 2022, https://arxiv.org/abs/2208.12242, equation 2.

    Args:
        settings: ``prior_weight`` is how much the class pictures count beside the instance pictures.
            ``min_snr_gamma`` weighs timesteps as :func:`min_snr_weight` does; None weighs them alike.
    """
    settings = settings or StepSettings()
    target = schedule.target(batch.latents, batch.noise, batch.timesteps)
    squares = (prediction.float() - target).square()
    if batch.weight is not None:
        squares = squares * batch.weight
    errors = squares.mean(dim=(1, 2, 3))
    if settings.min_snr_gamma is not None:
        errors = errors * min_snr_weight(schedule, batch.timesteps, settings.min_snr_gamma)
    instance = errors[: batch.instances].mean()
    if batch.instances == len(errors):
        return Losses(instance, instance, None)
    prior = errors[batch.instances :].mean()
    return Losses(instance + settings.prior_weight * prior, instance, prior)


def min_snr_weight(schedule: NoiseSchedule, timesteps: Tensor, gamma: float) -> Tensor:
    """Weights [n] of timesteps [n]: Hang et al. 2023, https://arxiv.org/abs/2303.09556.

    ``min(snr, gamma)`` over the weight that the prediction type has by itself.
    """
    snr = schedule.snr(timesteps)
    own = snr if schedule.prediction_type == "epsilon" else snr + 1
    return torch.clamp(snr, max=gamma) / own
