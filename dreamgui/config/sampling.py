"""Settings that all jobs share which generate pictures of a prompt."""

from __future__ import annotations

from dreamgui.config.fields import JobConfig, SchedulerName, knob


class GenerationSettings(JobConfig):
    """Settings shared by Generate, Compare and ControlNet."""

    negative_prompt: str = knob(
        "", "Negative prompt", "Contents that the pictures must not show.", group="Sampling"
    )
    seed: int = knob(0, "Seed", "The same for every model.", ge=0, le=2**31 - 1)
    steps: int = knob(25, "Denoising steps", "20 to 50 is usual.", ge=1, le=150, group="Sampling")
    guidance_scale: float = knob(
        5.0,
        "Guidance scale",
        "5 to 8 is usual. Higher follows the prompt more closely.",
        ge=1,
        le=30,
        group="Sampling",
    )
    scheduler: SchedulerName = knob(
        "dpm++", "Sampler", "DPM++ 2M (dpm++) needs few denoising steps.", group="Sampling"
    )
    lora_scale: float = knob(
        1.0, "LoRA strength", "0 is off, 1 is as trained; up to 2.", ge=0, le=2, group="Sampling"
    )
    word_weights: bool = knob(
        False,
        "Weights of words",
        "(word:1.3), (word) and [word] stress words as in A1111. Plain text otherwise.",
        group="Sampling",
    )
