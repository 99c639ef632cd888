"""Job of a sweep: LoRAs of several ranks and learning rates."""

from __future__ import annotations

from typing import ClassVar

from dreamgui.config.fields import COMPARE_PROMPTS, Lines, Ranks, Rates, knob
from dreamgui.config.training import TrainSettings


class SweepJob(TrainSettings):
    """Train LoRAs of several ranks and learning rates, and optionally the UNet, from one plan."""

    kind: ClassVar[str] = "sweep"
    doing: ClassVar[str] = "a hyper-parameter sweep is running"
    noun: ClassVar[str] = "Sweep"
    tab: ClassVar[str] = "train"
    ranks: Ranks = knob((4, 8, 16), "LoRA ranks", "1 to 8 of them.", min_length=1, max_length=8)
    learning_rates: Rates = knob(
        (1e-4,), "LoRA learning rates", "Each rank is trained at each.", min_length=1, max_length=8
    )
    with_unet: bool = knob(False, "Train whole UNet", "One more training, of the full UNet.")
    unet_learning_rate: float | None = knob(
        None, "UNet learning rate", "2e-6 if empty.", gt=0, le=1, allow_inf_nan=False
    )
    prompts: Lines = knob(
        COMPARE_PROMPTS, "Likeness prompts", "One per line.", group="Prompts", max_length=20
    )
    report: str = knob(
        "",
        "Sweep name",
        "Made from the settings if empty. The same name continues that sweep.",
        group="Report",
    )
