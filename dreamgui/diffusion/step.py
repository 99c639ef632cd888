"""One training step, the same for UNet and LoRA: they differ only in which weights require a gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dreamgui.diffusion.batches import Batch
from dreamgui.diffusion.loss import Losses, dreambooth_loss
from dreamgui.diffusion.sample import compute_format
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.errors import TrainingFailed

_FUSED = {"cpu", "cuda", "mps"}


@dataclass(frozen=True)
class StepReport:
    """Numbers of one step; ``grad_norm`` is before clipping, 0 where fp16 overflowed and nothing changed."""

    instance: float
    prior: float | None
    grad_norm: float


def make_optimizer(parameters: Sequence[nn.Parameter], learning_rate: float) -> torch.optim.AdamW:
    """AdamW with the settings of diffusers' DreamBooth script, in one fused pass where the device has it."""
    fused = parameters[0].device.type in _FUSED
    return torch.optim.AdamW(
        parameters, learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, fused=fused
    )


class TrainingStep:
    """Forward, backward, clip, optimizer.

    Attributes:
        trained: the weights that learn, by their names in the UNet; fp32.
        optimizer: AdamW over them.
        scaler: loss scaling, at work only where the compute format is fp16.
    """

    def __init__(
        self,
        unet: Any,
        schedule: NoiseSchedule,
        dtype: torch.dtype,
        prior_weight: float = 1.0,
        min_snr_gamma: float | None = None,
        max_grad_norm: float = 1.0,
    ) -> None:
        self.unet = unet
        self.schedule = schedule
        self.trained: dict[str, nn.Parameter] = {
            name: weight for name, weight in unet.named_parameters() if weight.requires_grad
        }
        self.optimizer = make_optimizer(list(self.trained.values()), learning_rate=0.0)
        device = next(iter(self.trained.values())).device
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self._compute = dtype, device
        self._loss_settings = prior_weight, min_snr_gamma
        self._max_grad_norm = max_grad_norm

    def __call__(self, batch: Batch, learning_rate: float) -> StepReport:
        """Learn from one batch.

        Raises:
            TrainingFailed: loss or gradient is not a number; the weights are as they were before the step.
        """
        losses = self.losses(batch)
        self.scaler.scale(losses.total).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.trained.values(), self._max_grad_norm, foreach=True)
        report = self._read(losses, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return report

    def losses(self, batch: Batch) -> Losses:
        """The losses of a batch, with their graph."""
        noisy = self.schedule.add_noise(batch.latents, batch.noise, batch.timesteps)
        with compute_format(self.unet, *self._compute):
            prediction = self.unet(noisy, batch.timesteps, batch.text, return_dict=False)[0]
        return dreambooth_loss(prediction, batch, self.schedule, *self._loss_settings)

    def _read(self, losses: Losses, norm: Tensor) -> StepReport:
        """All numbers in one transfer, and the look at whether they are numbers."""
        prior = losses.instance if losses.prior is None else losses.prior
        instance, prior_value, grad_norm = torch.stack([losses.instance, prior, norm]).detach().tolist()
        overflow = self.scaler.is_enabled() and not math.isfinite(grad_norm)
        if not all(map(math.isfinite, (instance, prior_value, 0.0 if overflow else grad_norm))):
            self.optimizer.zero_grad(set_to_none=True)
            raise TrainingFailed(
                f"The training broke down: loss {instance}, prior {prior_value}, gradient norm {grad_norm}.",
                "Lower the learning rate; the last checkpoint holds the weights from before.",
            )
        return StepReport(
            instance, None if losses.prior is None else prior_value, 0.0 if overflow else grad_norm
        )
