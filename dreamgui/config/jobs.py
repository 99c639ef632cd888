"""Jobs: photographs, conversion, the demo, and the table of all jobs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from dreamgui.config.class_images import ClassImagesJob
from dreamgui.config.compare import CompareJob
from dreamgui.config.control import ControlJob
from dreamgui.config.fields import (
    DatasetLayout,
    Dtype,
    JobConfig,
    ModelForm,
    OptionalFolder,
    SourceText,
    UnetWeights,
    knob,
)
from dreamgui.config.generate import GenerateJob
from dreamgui.config.preflight import PreflightJob
from dreamgui.config.sweep import SweepJob
from dreamgui.config.training import TrainJob
from dreamgui.config.workshop import (
    ExportJob,
    ExtractJob,
    ImportJob,
    KeepJob,
    MergeJob,
    MixJob,
    PushJob,
    ResizeJob,
    TokensJob,
)


class CropJob(JobConfig):
    """Detect the faces in photographs and cut square crops in varied framing."""

    kind: ClassVar[str] = "crop"
    doing: ClassVar[str] = "photographs are being cropped"
    noun: ClassVar[str] = "Cropping"
    tab: ClassVar[str] = "dataset"
    photos: tuple[Path, ...] = knob(
        ..., "Photographs", "Files, folders, or zip files of them.", positional=True, min_length=1
    )
    dataset: str = knob("my-photos", "Dataset name")
    size_px: int = knob(
        512, "Crop size", "Side in pixels; the base model's size.", ge=64, le=1024, multiple_of=8
    )
    instance_prompt: str = knob("a photo of sks woman face", "Instance prompt", "The caption of every crop.")
    close_up_share: float = knob(
        0.4, "Share of close-ups", "0 to 1. 0.4 is usual.", ge=0, le=1, group="Faces and framing"
    )
    medium_share: float = knob(
        0.4,
        "Share of medium shots",
        "0 to 1. The remaining crops are full figures.",
        ge=0,
        le=1,
        group="Faces and framing",
    )
    detection_confidence: float = knob(
        0.5,
        "Detection confidence",
        "Lowest confidence of a face, 0.1 to 0.95. Lower it where faces are missed.",
        ge=0.1,
        le=0.95,
        group="Faces and framing",
    )
    max_enlargement: float = knob(
        1.5,
        "Largest enlargement",
        "1 to 8. Higher values allow smaller photographs. Crops get softer.",
        ge=1,
        le=8,
        group="Faces and framing",
    )
    hold_out: bool = knob(
        True,
        "Hold out photographs",
        "Keeps two or three photographs out of training, to measure likeness.",
        group="Dataset",
    )
    take_as_is: bool = knob(
        False,
        "Take as is",
        "Keeps square pictures uncropped, with or without a face.",
        group="Faces and framing",
    )
    out: OptionalFolder = knob(
        None, "Dataset copy", "Folder or .zip file for a copy of the dataset. None if empty.", group="Dataset"
    )
    layout: DatasetLayout = knob(
        "dreamgui", "Layout of the copy", "dreamgui, or the layout of another trainer.", group="Dataset"
    )


class ConvertJob(JobConfig):
    """Convert a checkpoint (file, civitai, Hugging Face) to a diffusers folder, or a folder to a single file."""

    kind: ClassVar[str] = "convert"
    doing: ClassVar[str] = "a checkpoint is being converted"
    noun: ClassVar[str] = "Conversion"
    tab: ClassVar[str] = "convert"
    source: SourceText = knob(
        "demo",
        "Checkpoint",
        "A .safetensors or .ckpt file, a diffusers folder, a civitai address or civitai:VERSION, a Hugging Face "
        "owner/name[@revision][:file], or 'demo' for the bundled model.",
        positional=True,
    )
    to: ModelForm = knob(
        "diffusers", "Target format", "A diffusers folder, or a single file.", group="Output"
    )
    out: OptionalFolder = knob(
        None,
        "Output path",
        "Folder or file, written with a certificate. A place in the workspace if empty.",
        group="Output",
    )
    model: str = knob("", "Model name", "The file's name if empty.")
    dtype: Dtype = knob(
        "fp16", "dtype", "Of the saved weights. fp32 doubles the file's size.", group="Output"
    )
    unet_weights: UnetWeights = knob(
        "plain",
        "UNet weights",
        "Of a checkpoint with both: the plain weights, or their running average (EMA).",
        group="Source",
    )
    base: str = knob(
        "", "Base model", "Completes a file that lacks text encoder, VAE or UNet.", group="Source"
    )
    # Never dumped: job.json, metadata and logs are made from the dump.
    token: str = knob(
        "",
        "Access token",
        "Of civitai or Hugging Face. From the environment if empty.",
        group="Source",
        exclude=True,
        repr=False,
        max_length=400,
    )


class DemoJob(JobConfig):
    """Run everything on the bundled model and photographs: from the crops to a report."""

    kind: ClassVar[str] = "demo"
    doing: ClassVar[str] = "the demo is running"
    noun: ClassVar[str] = "Demo"
    tab: ClassVar[str] = "dataset"
    out: Path = knob(Path("dreamgui-demo"), "Report folder")
    quick: bool = knob(False, "Quick", "A few steps only, for tests.")
    seed: int = knob(0, "Seed", ge=0, le=2**31 - 1)


JOBS: dict[str, type[JobConfig]] = {
    job.kind: job
    for job in (
        CropJob, ConvertJob, ClassImagesJob, TrainJob, PreflightJob, SweepJob, CompareJob, ControlJob, GenerateJob, DemoJob,
        ExportJob, ImportJob, PushJob, MergeJob, ExtractJob, ResizeJob, MixJob, TokensJob, KeepJob,
    )
}  # fmt: skip
"""All jobs by their kind. Command line, API, recipes and the page's followers read it."""
