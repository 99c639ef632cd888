"""Samplers for generation: diffusers' schedulers by the names of the settings."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import lru_cache
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from dreamgui.config import SchedulerName

SAMPLERS: dict[SchedulerName, type[Any]] = {
    "dpm++": DPMSolverMultistepScheduler,
    "dpm++karras": DPMSolverMultistepScheduler,
    "dpm++sde": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
    "euler": EulerDiscreteScheduler,
    "euler-a": EulerAncestralDiscreteScheduler,
    "ddim": DDIMScheduler,
    "pndm": PNDMScheduler,
    "lcm": LCMScheduler,
}
SAMPLER_SETTINGS: dict[SchedulerName, dict[str, Any]] = {
    "dpm++karras": {"use_karras_sigmas": True},
    "dpm++sde": {"use_karras_sigmas": True, "algorithm_type": "sde-dpmsolver++"},
}
"""Settings of a sampler beside the base model's; noise levels: Karras et al. 2022, https://arxiv.org/abs/2206.00364."""


def make_sampler(name: SchedulerName, config: dict[str, Any]) -> Any:
    """A fresh diffusers scheduler for generation, with the base model's betas and prediction type.

    ``steps_offset`` and ``clip_sample`` are as StableDiffusionPipeline sets them, whatever the folder says.
    """
    settings = {**config, "steps_offset": 1, "clip_sample": False, **SAMPLER_SETTINGS.get(name, {})}
    return deepcopy(_sampler(name, json.dumps(settings)))


@lru_cache(maxsize=32)
def _sampler(name: SchedulerName, settings: str) -> Any:
    """A scheduler that nobody steps. It takes diffusers milliseconds to make one."""
    return SAMPLERS[name].from_config(json.loads(settings))
