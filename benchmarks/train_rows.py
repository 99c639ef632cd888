"""What ``benchmarks.train`` measures, as data: a row is a training's settings, and what must be reached.

A setting is a field of :class:`dreamgui.config.TrainJob`; a row whose settings aren't known (yet) says so in the
table. Memory is counted in GB of 10^9 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["speed", "parity", "ready", "memory", "cold", "gpus"]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: for ``--only``, and in the stored results.
        title: in the printed table.
        kind: how it is measured, see ``train_speed.py`` and ``train_whole.py``.
        unit: of all figures; figures in s and GB and differences shall be low, others high.
        must, aim: on one H100 with Stable Diffusion 1.5's sizes; None where nothing is asked for.
        settings: fields of the TrainJob.
        plain: whether the plain loop is measured as well.
        cap_gb: so much device memory the process may have.
        again: pictures are encoded (the model compiled) already; else the row begins by forgetting what was.
        gpus: so many processes, a GPU each.
        quiet: its times count, so nothing else may run meanwhile.
        extra: measured where it is asked for by name only.
    """

    name: str
    title: str
    kind: Kind
    unit: str
    must: float | None = None
    aim: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    plain: bool = False
    cap_gb: float | None = None
    again: bool = True
    gpus: int = 1
    quiet: bool = True
    extra: bool = False

    @property
    def low(self) -> bool:
        """Whether less is better."""
        return self.unit in ("s", "GB", "of a loss")

    @property
    def pictures(self) -> int:
        """Pictures a step: instance and class."""
        return 2 * self.settings.get("batch_size", 1)

    @property
    def process(self) -> str:
        """Rows of one name here are measured by one process, so that it starts once."""
        return {"speed": "speed", "parity": "speed", "gpus": "gpus"}.get(self.kind, self.name)

    def reached(self, value: float) -> str:
        """In one word: aim, must, or no; empty where nothing was asked for."""
        for name, bound in (("aim", self.aim), ("must", self.must)):
            if bound is not None and (value <= bound if self.low else value >= bound):
                return name
        return "" if self.must is None else "no"


# What is said to be exact stays so on a GPU that others fill as well: no tier turns anything on.
UNET = {"method": "unet", "memory_tier": "none"}
LORA = {"method": "lora", "rank": 8, "memory_tier": "none"}
EXACT_LEAST = {"gradient_checkpointing": True, "optimizer_in_backward": True}
TIERS_GB = (24, 16, 12, 8, 6)
COMPILED = {**LORA, "compile": True}
_TIER = "Smallest memory setting"

ROWS: tuple[Row, ...] = (
    Row("compile", "LoRA 1+1, compiled for the first time: first step after Start", "ready", "s",
        settings=COMPILED, again=False, quiet=False),
    Row("memory-unet", "UNet 1+1, exact fp32 AdamW, in the backward pass", "memory", "GB", 13, 10,
        {**UNET, **EXACT_LEAST}, cap_gb=13, quiet=False),
    Row("memory-unet-8bit", "UNet 1+1, 8-bit state", "memory", "GB", 8, 6.5,
        {**UNET, "optimizer": "adamw-8bit", "memory_tier": "8GB"}, cap_gb=8, quiet=False),
    Row("memory-unet-least", f"UNet 1+1, {_TIER.lower()}", "memory", "GB", 6, 5,
        {**UNET, "memory_tier": "least"}, cap_gb=6, quiet=False),
    Row("memory-lora", "LoRA 1+1, memory setting auto", "memory", "GB", 3.5, 3,
        {**LORA, "memory_tier": "auto"}, cap_gb=3.5, quiet=False),
    Row("memory-lora-none", "LoRA 1+1, nothing saved", "memory", "GB", settings=LORA, cap_gb=5, quiet=False),
    Row("memory-lora-least", f"LoRA 1+1, {_TIER.lower()}", "memory", "GB", 2.6, 2,
        {**LORA, "memory_tier": "least"}, cap_gb=2.6, quiet=False),
    *(
        Row(f"tier-{size}", f"UNet 1+1, memory setting {size}GB", "memory", "GB", size, None,
            {**UNET, "memory_tier": f"{size}GB"}, cap_gb=size, quiet=False)
        for size in TIERS_GB
    ),
    Row("unet", "UNet 1+1, exact fp32 AdamW, no compile", "speed", "steps/s", 24, 40, UNET, plain=True),
    Row("lora", "LoRA rank 8, 1+1, no compile", "speed", "steps/s", 38, 70, LORA, plain=True),
    Row("unet-8", "UNet 8+8", "speed", "images/s", 95, 145, {**UNET, "batch_size": 8}, plain=True),
    Row("lora-compiled", "LoRA rank 8, 1+1, compiled", "speed", "steps/s", 55, 100, COMPILED),
    Row("unet-compiled", "UNet 1+1, compiled", "speed", "steps/s", settings={**UNET, "compile": True},
        extra=True),
    Row("parity-unet", "UNet: 50 losses against the plain loop's, largest difference", "parity", "of a loss",
        0.02, 0.005, UNET),
    Row("parity-lora", "LoRA: 50 losses against the plain loop's, largest difference", "parity", "of a loss",
        0.02, 0.005, LORA),
    Row("ready", "UNet: first step after Start, pictures not yet encoded", "ready", "s", 12, 6, UNET,
        again=False),
    Row("ready-again", "UNet: first step after Start, pictures encoded before", "ready", "s", 12, 6, UNET),
    Row("ready-lora", "LoRA: first step after Start, pictures not yet encoded", "ready", "s", 12, 6, LORA,
        again=False, extra=True),
    Row("cold", "200 class images + 800 UNet steps + save, from cold", "cold", "s", 75, 45,
        {**UNET, "class_count": 200, "class_folder": None, "steps": 800}),
    Row("gpus-2", "2 GPUs, UNet 4+4 each, against 1", "gpus", "times", 1.8, 1.95,
        {**UNET, "batch_size": 4}, gpus=2),
    Row("gpus-4", "4 GPUs, UNet 4+4 each, against 1", "gpus", "times", 3.5, 3.8,
        {**UNET, "batch_size": 4}, gpus=4),
    Row("fsdp-2", "2 GPUs, UNet 4+4 each, weights split (FSDP), against 1", "gpus", "times",
        settings={**UNET, "batch_size": 4, "shard": True}, gpus=2, extra=True),
)  # fmt: skip
BY_NAME = {row.name: row for row in ROWS}
