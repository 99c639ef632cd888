"""Every change that is made to a model so that it computes faster: its order, its condition, and how it is undone.

A change keeps weights, their names, and results up to rounding. :func:`inject` makes those of one stage,
:func:`eject` undoes all of them. Changes for another purpose are made elsewhere: the weights' memory format
(:mod:`dreamgui.models.loading`), gradient checkpointing (:mod:`dreamgui.training.steps.make_step`), adapters
(:mod:`dreamgui.models.lora`) and the split of the weights over GPUs (:mod:`dreamgui.training.parallel.fsdp`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch

from dreamgui.ops.channels_last import keep_channels_last
from dreamgui.ops.fused_norm import fuse_norms
from dreamgui.ops.inference import fuse_blocks, separate_blocks
from dreamgui.ops.kernels import kernels
from dreamgui.ops.known_map import take_embedded_maps
from dreamgui.ops.lora_attention import fuse_lora_attention, split_lora_attention
from dreamgui.ops.lora_modules import use_lora_modules
from dreamgui.ops.pointwise import use_matrix_products
from dreamgui.ops.swap import swap_back


class Stage(Enum):
    """Moment at which a change is made.

    Attributes:
        LOADED: a UNet, VAE or ControlNet has come to its device.
        LORA_ADDED: a UNet has a new LoRA (no DoRA) that will be trained.
        LORA_STEP: a LoRA's training step is made, without gradient checkpointing.
        LENT: a UNet, ControlNet or VAE will only be asked, not trained.
        COMPILING: a copy of the UNet that shares its weights is about to be compiled.
    """

    LOADED = "loaded"
    LORA_ADDED = "LoRA added"
    LORA_STEP = "LoRA step"
    LENT = "lent"
    COMPILING = "compiling"


def _swapped_back(model: Any) -> None:
    for module in model.modules():
        swap_back(module)


@dataclass(frozen=True)
class Change:
    """One change: when it is made, by what, whether only with our Triton kernels, and what undoes it."""

    stage: Stage
    inject: Callable[[Any], None]
    needs_kernels: bool
    eject: Callable[[Any], None] = _swapped_back


CHANGES = (
    Change(Stage.LOADED, fuse_norms, needs_kernels=True),
    Change(Stage.LOADED, use_matrix_products, needs_kernels=True),
    Change(Stage.LOADED, take_embedded_maps, needs_kernels=False),
    Change(Stage.LORA_ADDED, use_lora_modules, needs_kernels=False),
    Change(Stage.LORA_STEP, fuse_lora_attention, needs_kernels=False, eject=split_lora_attention),
    Change(Stage.LENT, fuse_blocks, needs_kernels=True, eject=separate_blocks),
    Change(Stage.COMPILING, keep_channels_last, needs_kernels=True),
)
"""In the order in which they are made."""


def inject(model: Any, stage: Stage, device: torch.device) -> None:
    """Make the changes of this stage that the device allows."""
    for change in CHANGES:
        if change.stage is stage and (not change.needs_kernels or kernels(device)):
            change.inject(model)


def eject(model: Any) -> None:
    """Undo all changes, the last one first."""
    for change in reversed(CHANGES):
        change.eject(model)
