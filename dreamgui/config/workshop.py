"""Jobs of the workshop: export, merge, extract, resize, mix, and inspect a token."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from dreamgui.config.fields import Dtype, ExportFormat, JobConfig, LoraTargets, MixWay, OptionalFolder, knob

FROM_SETTINGS = "Made from the settings if empty."


class ExportJob(JobConfig):
    """Write a model or run in another program's format, read it back, and check it with a picture."""

    kind: ClassVar[str] = "export"
    doing: ClassVar[str] = "a model is being exported"
    noun: ClassVar[str] = "Export"
    tab: ClassVar[str] = "convert"
    model: str = knob(
        "portraits",
        "Model",
        "A base model, a run, or a LoRA's .safetensors file.",
        choices="models",
        positional=True,
    )
    base: str = knob(
        "",
        "Base model",
        "For a LoRA file: the model that it was trained on.",
        choices="bases",
        group="Output",
    )
    format: ExportFormat = knob(
        "single-file", "Format", "single-file and lora-kohya load in A1111 and ComfyUI."
    )
    out: OptionalFolder = knob(
        None, "Output path", "File or folder. The workspace's exports if empty.", group="Output"
    )
    dtype: Dtype = knob(
        "fp16", "dtype", "Of the saved weights. fp32 doubles the file's size.", group="Output"
    )
    lora_scale: float = knob(
        1.0,
        "LoRA strength",
        "Of a LoRA that is merged into a whole model. 0 to 2.",
        ge=0,
        le=2,
        group="Output",
    )


class PushJob(JobConfig):
    """Push a run to the Hugging Face Hub, with a description and generated pictures, never a photograph."""

    kind: ClassVar[str] = "push"
    doing: ClassVar[str] = "a run is being pushed to the Hub"
    noun: ClassVar[str] = "Push"
    tab: ClassVar[str] = "convert"
    model: str = knob("", "Run", "A finished run.", choices="models", positional=True)
    repo: str = knob(
        "", "Repository", "owner/name, or a name of your own. The run's name if empty.", max_length=200
    )
    private: bool = knob(True, "Private", "Only you see it. Everybody does if off.")
    pictures: int = knob(
        4, "Generated pictures", "The run's newest, one per prompt, for the model's page.", ge=0, le=12
    )
    # Never dumped: job.json, metadata and logs are made from the dump.
    token: str = knob(
        "",
        "Access token",
        "Of Hugging Face, with write access. The machine's login if empty.",
        exclude=True,
        repr=False,
        max_length=400,
    )


class ImportJob(JobConfig):
    """Keep another program's LoRA as a run, so that it is chosen like any other."""

    kind: ClassVar[str] = "import"
    doing: ClassVar[str] = "a LoRA is being added"
    noun: ClassVar[str] = "Import"
    tab: ClassVar[str] = "generate"
    file: Path = knob(..., "LoRA file", "Of kohya, OneTrainer, diffusers, civitai.", positional=True)
    base: str = knob(
        "", "Base model", "The model that it was made for. The only one there is if empty.", choices="bases"
    )
    trigger: str = knob("", "Trigger words", "For {token} in a prompt. The file's own if empty.")
    run: str = knob("", "Run name", "The file's name if empty.")


class MergeJob(JobConfig):
    """Merge a LoRA into a UNet at a strength. The result is a run of its own."""

    kind: ClassVar[str] = "merge"
    doing: ClassVar[str] = "a LoRA is being merged"
    noun: ClassVar[str] = "Merge"
    tab: ClassVar[str] = "convert"
    lora: str = knob("", "LoRA", "A run, or a LoRA's file or folder.", choices="loras", positional=True)
    model: str = knob("", "Model", "A base model or run. The LoRA's own base if empty.", choices="models")
    weight: float = knob(1.0, "LoRA strength", "1 is as trained; -2 to 2.", ge=-2, le=2)
    run: str = knob("", "Run name", FROM_SETTINGS, group="Output")


class ExtractJob(JobConfig):
    """Extract a small LoRA from a trained UNet, and show how much each rank captures."""

    kind: ClassVar[str] = "extract"
    doing: ClassVar[str] = "a LoRA is being extracted"
    noun: ClassVar[str] = "Extract"
    tab: ClassVar[str] = "convert"
    trained: str = knob("", "Trained UNet", "A run of the full UNet.", choices="unets", positional=True)
    against: str = knob(
        "",
        "Compared with",
        "A base model or run. The run's base model if empty.",
        choices="models",
        group="Reference",
    )
    rank: int = knob(16, "LoRA rank", "Higher captures more and makes a larger file.", ge=1, le=256)
    lora_targets: LoraTargets = knob(
        "attention+conv", "Target modules", "Convolutions make the file larger.", group="LoRA"
    )
    run: str = knob("", "Run name", FROM_SETTINGS, group="Output")


class ResizeJob(JobConfig):
    """Reduce the rank of a LoRA, and keep as much of it as that rank can hold."""

    kind: ClassVar[str] = "resize"
    doing: ClassVar[str] = "a LoRA is being resized"
    noun: ClassVar[str] = "Resize"
    tab: ClassVar[str] = "convert"
    lora: str = knob("", "LoRA", "A run.", choices="loras", positional=True)
    rank: int = knob(4, "New rank", "Below the LoRA's own rank.", ge=1, le=256)
    run: str = knob("", "Run name", FROM_SETTINGS, group="Output")


class KeepJob(JobConfig):
    """Make a model kept on a run's way, or a LoRA at a strength, a run of its own."""

    kind: ClassVar[str] = "keep"
    doing: ClassVar[str] = "a kept model is becoming a run"
    noun: ClassVar[str] = "Keep"
    tab: ClassVar[str] = "convert"
    model: str = knob("", "Model", "A run, or RUN@STEP.", choices="models", positional=True)
    strength: float = knob(
        1.0, "LoRA strength", "Multiplied into the LoRA, so that 1 is this strength.", ge=0.05, le=2
    )
    run: str = knob("", "Run name", FROM_SETTINGS, group="Output")


class MixJob(JobConfig):
    """Mix two UNets: a weighted sum, or the difference that training made in one added to the other."""

    kind: ClassVar[str] = "mix"
    doing: ClassVar[str] = "two models are being mixed"
    noun: ClassVar[str] = "Mix"
    tab: ClassVar[str] = "convert"
    first: str = knob("portraits", "First model", "A base model or run.", choices="models", positional=True)
    second: str = knob("portraits", "Second model", "A base model or run.", choices="models", positional=True)
    way: MixWay = knob("weighted-sum", "Mix method")
    weight: float = knob(
        0.5, "Second model's share", "0 is the first alone, 1 is all of the second.", ge=-2, le=2
    )
    minus: str = knob(
        "",
        "Subtracted model",
        "For add-difference. The second model's base if empty.",
        choices="models",
        group="Reference",
    )
    run: str = knob("", "Run name", FROM_SETTINGS, group="Output")


class TokensJob(JobConfig):
    """Show what a base model generates for a token before training, and find rarer ones."""

    kind: ClassVar[str] = "tokens"
    doing: ClassVar[str] = "a token is being inspected"
    noun: ClassVar[str] = "Token inspection"
    tab: ClassVar[str] = "convert"
    token: str = knob(
        "sks",
        "Token",
        "The word that will stand for the person.",
        min_length=1,
        max_length=40,
        positional=True,
    )
    model: str = knob("portraits", "Base model", choices="bases")
    count: int = knob(3, "Pictures", "1 to 8.", ge=1, le=8)
    seed: int = knob(0, "Seed", "Of the first picture.", ge=0, le=2**31 - 1, group="Sampling")
    steps: int = knob(20, "Denoising steps", "20 to 50 is usual.", ge=1, le=150, group="Sampling")
    guidance_scale: float = knob(5.0, "Guidance scale", "5 to 8 is usual.", ge=1, le=30, group="Sampling")
