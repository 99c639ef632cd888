"""Over time: the noise of the training and its learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from dreamgui.config import Schedule
from dreamgui.errors import BadModelFile


class NoiseSchedule:
    """The forward process of training: Ho et al. 2020, https://arxiv.org/abs/2006.11239.

    Attributes:
        prediction_type: what the model predicts, ``epsilon`` (the noise) or ``v_prediction``.
        steps: number of noise levels, 1000 in Stable Diffusion; a timestep lies in 0..steps-1.
    """

    def __init__(self, config: dict[str, Any], device: torch.device) -> None:
        forward: Any = DDPMScheduler.from_config({**config, "clip_sample": False})
        self.prediction_type: str = forward.config["prediction_type"]
        self.steps: int = forward.config["num_train_timesteps"]
        self._alphas_cumprod = forward.alphas_cumprod.to(device)
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise BadModelFile(
                f"The base predicts {self.prediction_type!r}; 'epsilon' or 'v_prediction' can be trained.",
                "Choose a base of the Stable Diffusion 1.5 family.",
            )

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Latents [b, 4, h, w] with as much of the noise [b, 4, h, w] as belongs to the timesteps [b]."""
        signal, spread = self._rates(timesteps)
        return signal * latents + spread * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the model should predict, [b, 4, h, w]. The v target is of Salimans and Ho 2022, https://arxiv.org/abs/2202.00512."""
        if self.prediction_type == "epsilon":
            return noise
        signal, spread = self._rates(timesteps)
        return signal * noise - spread * latents

    def snr(self, timesteps: Tensor) -> Tensor:
        """Signal-to-noise ratio of timesteps [b]."""
        alphas = self._alphas_cumprod[timesteps]
        return alphas / (1 - alphas)

    def _rates(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        alphas = self._alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        return alphas.sqrt(), (1 - alphas).sqrt()


def learning_rate_at(
    step: int, steps: int, learning_rate: float, schedule: Schedule = "constant", warmup_steps: int = 0
) -> float:
    """The learning rate of a step.

    Args:
        step: 1 to ``steps``.
        learning_rate: the highest; reached after the warm-up, which rises in equal parts and is never zero.
        schedule: ``linear`` and ``cosine`` fall from there towards zero, just after the last step.
    """
    if step <= warmup_steps:
        return learning_rate * step / warmup_steps
    progress = (step - warmup_steps - 1) / max(1, steps - warmup_steps)
    if schedule == "linear":
        return learning_rate * (1 - progress)
    if schedule == "cosine":
        return learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return learning_rate
