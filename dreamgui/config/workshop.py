"""Giving out, merging, extracting, resizing, mixing, and looking at tokens."""

from __future__ import annotations

from typing import ClassVar

from dreamgui.config.fields import Dtype, ExportFormat, JobConfig, LoraTargets, MixWay, OptionalFolder, knob


class ExportJob(JobConfig):
    """Write a model or run as other programs load it, read it back, and prove it with a picture."""

    kind: ClassVar[str] = "export"
    model: str = knob(
        "portraits", "Base model, run, or a LoRA's .safetensors file", choices="models", positional=True
    )
    base: str = knob("", "LoRA file: base model that it is for", choices="bases", fold=True)
    format: ExportFormat = knob("single-file", "Format of the export")
    out: OptionalFolder = knob(None, "File or folder to write (empty: the workspace's exports)")
    dtype: Dtype = knob("fp16", "Number format of the saved weights", fold=True)
    lora_scale: float = knob(
        1.0, "Strength of a LoRA that is baked into a whole model", ge=0, le=2, fold=True
    )


class MergeJob(JobConfig):
    """Bake a LoRA into a UNet at a strength; the result is a run of its own."""

    kind: ClassVar[str] = "merge"
    lora: str = knob("", "Run with the LoRA, or a LoRA's .safetensors file", choices="runs", positional=True)
    model: str = knob("", "Base model or run to bake it into (empty: the LoRA's own base)", choices="models")
    weight: float = knob(1.0, "Strength of the LoRA", ge=-2, le=2)
    run: str = knob("", "Name of the result (empty: made from the settings)", fold=True)


class ExtractJob(JobConfig):
    """Turn what a trained UNet learnt into a small LoRA, and show how much each rank captures."""

    kind: ClassVar[str] = "extract"
    trained: str = knob("", "Run with the trained UNet", choices="runs", positional=True)
    against: str = knob("", "What it is compared with (empty: its base model)", choices="models", fold=True)
    rank: int = knob(16, "LoRA rank", ge=1, le=256)
    lora_targets: LoraTargets = knob("attention+conv", "Layers that the LoRA adapts", fold=True)
    run: str = knob("", "Name of the result (empty: made from the settings)", fold=True)


class ResizeJob(JobConfig):
    """Give a LoRA a smaller rank, keeping as much of it as that rank can hold."""

    kind: ClassVar[str] = "resize"
    lora: str = knob("", "Run with the LoRA", choices="runs", positional=True)
    rank: int = knob(4, "New rank", ge=1, le=256)
    run: str = knob("", "Name of the result (empty: made from the settings)", fold=True)


class MixJob(JobConfig):
    """Mix two UNets: a weighted sum, or what one of them learnt added to the other."""

    kind: ClassVar[str] = "mix"
    first: str = knob("portraits", "Base model or run", choices="models", positional=True)
    second: str = knob("portraits", "The other base model or run", choices="models", positional=True)
    way: MixWay = knob("weighted-sum", "How they are mixed")
    weight: float = knob(0.5, "Share of the other one", ge=-2, le=2)
    minus: str = knob(
        "", "Add difference: what is subtracted from the other (empty: its base)", choices="models", fold=True
    )
    run: str = knob("", "Name of the result (empty: made from the settings)", fold=True)


class TokensJob(JobConfig):
    """See what a base model draws for a token before it learns a new meaning, and find rarer ones."""

    kind: ClassVar[str] = "tokens"
    token: str = knob(
        "sks", "Token that will stand for the person", min_length=1, max_length=40, positional=True
    )
    model: str = knob("portraits", "Base model", choices="bases")
    count: int = knob(3, "Number of pictures", ge=1, le=8)
    seed: int = knob(0, "Seed of the first picture", ge=0, le=2**31 - 1, fold=True)
    steps: int = knob(20, "Denoising steps", ge=1, le=150, fold=True)
    guidance_scale: float = knob(5.0, "Guidance scale", ge=1, le=30, fold=True)
