"""Class images: pictures of the class for prior preservation."""

from __future__ import annotations

from typing import ClassVar

from dreamgui.config.fields import (
    JobConfig,
    OptionalFolder,
    knob,
)


class OnBase(JobConfig):
    """Base of the jobs that start from a base model."""

    model: str = knob("portraits", "Base model", choices="bases")


class ClassImageSettings(JobConfig):
    """Settings of the class images: their prompt and how they are generated."""

    class_prompt: str = knob(
        "a photo of woman face", "Class prompt", "The instance prompt without its token.", group="Prompts"
    )
    class_negative_prompt: str = knob(
        "", "Class negative prompt", "Contents that class images must not show.", group="Prompts"
    )
    class_count: int | None = knob(
        None, "Class images", "10 per photograph if empty.", ge=1, le=2000, group="Class images"
    )
    class_steps: int = knob(
        20, "Class denoising steps", "20 to 50 is usual.", ge=1, le=150, group="Class images"
    )
    class_guidance_scale: float = knob(
        5.0, "Class guidance scale", "5 to 8 is usual.", ge=1, le=30, group="Class images"
    )
    class_seed: int = knob(
        0, "Class seed", "Of the first class image.", ge=0, le=2**31 - 1, group="Class images"
    )
    class_variants: bool = knob(
        True,
        "Vary class framing",
        "Follows the dataset's mix of framings; each prompt names its framing.",
        group="Class images",
    )
    class_folder: OptionalFolder = knob(
        None,
        "Class image folder",
        "Your own images of the class. Generated if empty.",
        group="Class images",
    )


class ClassImagesJob(ClassImageSettings, OnBase):
    """Generate images of the class ("woman") with the base model, for prior preservation."""

    kind: ClassVar[str] = "class_images"
    doing: ClassVar[str] = "class images are being generated"
    noun: ClassVar[str] = "Class images"
    tab: ClassVar[str] = "train"
    # A training knows its photographs; this job needs the number.
    class_count: int = knob(200, "Class images", "10 per photograph is usual.", ge=1, le=2000)
    dataset: str = knob("", "Dataset", "Sets the mix of framings. 40/40/20 if empty.", group="Class images")
