"""Photographs, conversion, comparison, ControlNet, the demo."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from dreamgui.config.fields import (
    COMPARE_PROMPTS,
    ControlKind,
    Dtype,
    JobConfig,
    Lines,
    ModelForm,
    OptionalFolder,
    SchedulerName,
    SourceText,
    UnetWeights,
    knob,
)


class CropJob(JobConfig):
    """Find the faces in photographs and cut square crops in varied framing."""

    kind: ClassVar[str] = "crop"
    photos: tuple[Path, ...] = knob(
        ..., "Photographs, folders or zip files of them", positional=True, min_length=1
    )
    dataset: str = knob("my-photos", "Name of the data set")
    size_px: int = knob(512, "Size of a crop in pixels", ge=64, le=1024, multiple_of=8)
    instance_prompt: str = knob("a photo of sks woman face", "Instance prompt: the caption of every crop")
    close_up_share: float = knob(0.4, "Share of close-ups", ge=0, le=1, fold=True)
    medium_share: float = knob(0.4, "Share of medium shots; the rest are full figures", ge=0, le=1, fold=True)
    detection_confidence: float = knob(0.5, "Least confidence of a detected face", ge=0.1, le=0.95, fold=True)
    max_enlargement: float = knob(1.5, "A crop may be enlarged by at most this factor", ge=1, le=8, fold=True)
    hold_out: bool = knob(
        True, "Set one photograph in eight aside, never trained on, to measure likeness", fold=True
    )
    out: OptionalFolder = knob(
        None, "Folder, or .zip file, that gets a copy of the data set (empty: none)", fold=True
    )


class ConvertJob(JobConfig):
    """Turn a checkpoint (a file, civitai, Hugging Face) into a diffusers folder, or a folder into a single file."""

    kind: ClassVar[str] = "convert"
    source: SourceText = knob(
        "demo",
        "Checkpoint: a .safetensors or .ckpt file, a diffusers folder, a civitai address or civitai:VERSION, a Hugging Face "
        "owner/name[@revision][:file], or 'demo' for the bundled model",
        positional=True,
    )
    to: ModelForm = knob("diffusers", "What is written", fold=True)
    out: OptionalFolder = knob(
        None,
        "Folder or file to write, with a certificate (empty: a diffusers folder becomes a model of the workspace, a single "
        "file goes to its exports)",
        fold=True,
    )
    model: str = knob("", "Name of the converted model (empty: the file's name)")
    dtype: Dtype = knob("fp16", "Number format of the saved weights", fold=True)
    unet_weights: UnetWeights = knob(
        "plain", "Which of a checkpoint's UNets: the plain weights or their running average (EMA)", fold=True
    )
    base: str = knob("", "Model that completes a file without text encoder, VAE or UNet", fold=True)
    # Never dumped: job.json, metadata and logs are made from the dump.
    token: str = knob(
        "",
        "Access token of civitai or Hugging Face (empty: from the environment)",
        fold=True,
        exclude=True,
        repr=False,
        max_length=400,
    )


class DrawSettings(JobConfig):
    """What comparing and ControlNet drawing share."""

    negative_prompt: str = knob("", "Negative prompt", fold=True)
    seed: int = knob(0, "Seed: the same for every model", ge=0, le=2**31 - 1)
    steps: int = knob(25, "Denoising steps", ge=1, le=150, fold=True)
    guidance_scale: float = knob(5.0, "Guidance scale", ge=1, le=30, fold=True)
    scheduler: SchedulerName = knob("dpm++", "Sampler", fold=True)
    lora_scale: float = knob(1.0, "Strength of a LoRA", ge=0, le=2, fold=True)


class CompareJob(DrawSettings):
    """Draw the same prompts with the same seeds through several models, and measure likeness."""

    kind: ClassVar[str] = "compare"
    models: tuple[str, ...] = knob(
        ("portraits",), "Models to compare", choices="models", min_length=1, max_length=12
    )
    prompts: Lines = knob(COMPARE_PROMPTS, "Prompts, one a line", min_length=1, max_length=20)
    dataset: str = knob("my-photos", "Photographs that likeness is measured against", choices="datasets")
    report: str = knob("", "Name of the report (empty: made from the date)", fold=True)


class ControlJob(DrawSettings):
    """Draw one prompt through several models, led by the edges or the pose of a picture."""

    kind: ClassVar[str] = "control"
    image: Path = knob(..., "Picture that leads", positional=True)
    control: ControlKind = knob("canny", "What is taken from it")
    prompt: str = knob("a photo of sks woman face in the forest", "Prompt")
    models: tuple[str, ...] = knob(("portraits",), "Models", choices="models", min_length=1, max_length=12)
    control_scale: float = knob(1.0, "Strength of the control", ge=0, le=2, fold=True)
    canny_low: int = knob(100, "Canny: lower threshold", ge=1, le=254, fold=True)
    canny_high: int = knob(200, "Canny: upper threshold", ge=2, le=255, fold=True)
    report: str = knob("", "Name of the result (empty: made from the date)", fold=True)


class DemoJob(JobConfig):
    """Everything, on the bundled model and photographs: from the crops to a report."""

    kind: ClassVar[str] = "demo"
    out: Path = knob(Path("dreamgui-demo"), "Folder of the report")
    quick: bool = knob(False, "A few steps only, for tests")
    seed: int = knob(0, "Seed", ge=0, le=2**31 - 1)
