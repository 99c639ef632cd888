"""Settings of a training step, and the numbers that it reports."""

from __future__ import annotations

from dataclasses import dataclass

from dreamgui.config import OptimizerName


@dataclass(frozen=True)
class StepReport:
    """Numbers of one step. ``grad_norm`` is before clipping, and 0 where fp16 overflowed and no weight changed."""

    instance: float
    prior: float | None
    grad_norm: float


@dataclass(frozen=True)
class StepSettings:
    """Settings of a step. The fields are those of the TrainJob."""

    optimizer: OptimizerName = "adamw"
    prior_weight: float = 1.0
    min_snr_gamma: float | None = None
    max_grad_norm: float = 1.0
    accumulate: int = 1
    ema_decay: float | None = None
    optimizer_in_backward: bool = False
    seed: int = 0
