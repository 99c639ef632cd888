"""The job of the ControlNet tab: one prompt, guided by one or two control maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidationInfo, field_validator, model_validator

from dreamgui.config.fields import (
    ControlFit,
    ControlImage,
    ControlKind,
    OptionalFolder,
    SecondControl,
    SourceText,
    Strengths,
    knob,
)
from dreamgui.config.pose import PoseText
from dreamgui.config.sampling import GenerationSettings

_SECOND = "Second ControlNet"


class ControlJob(GenerationSettings):
    """Generate one prompt through several models, guided by the edges or the pose of a control image."""

    kind: ClassVar[str] = "control"
    doing: ClassVar[str] = "ControlNet pictures are being generated"
    noun: ClassVar[str] = "ControlNet"
    tab: ClassVar[str] = "control"
    pose: PoseText = knob(
        "",
        "Pose points",
        "JSON: people of 18 points, [x, y] from 0 to 1 or null. [] is a blank board.",
        group="Control image",
    )
    image: OptionalFolder = knob(
        None,
        "Control image",
        "A photograph, or a ready control map. Not needed with pose points.",
        positional=True,
        validate_default=True,
    )
    control: ControlKind = knob("canny", "Control type", "Edges, or the pose of a person.")
    prompt: str = knob("a photo of sks woman face in the forest", "Prompt")
    models: tuple[str, ...] = knob(
        ("portraits",), "Models", "1 to 12, side by side.", choices="models", min_length=1, max_length=12
    )
    image_is: ControlImage = knob(
        "auto",
        "Control image content",
        "A photograph, or a ready map that is used unchanged. auto recognises it.",
        group="Control image",
    )
    fit: ControlFit = knob(
        "whole",
        "Fit of the control image",
        "All of it with black bars, or the square about the face. Never stretched.",
        group="Control image",
    )
    control_scale: float = knob(
        1.0,
        "Control strength",
        "0 to 2. Lower it where the map is followed too closely.",
        ge=0,
        le=2,
        group="Control",
    )
    strengths: Strengths = knob(
        (),
        "Row of strengths",
        "Columns in place of the one strength, for instance 0 0.5 1. Each 0 to 2.",
        group="Control",
        max_length=8,
    )
    control_start: float = knob(
        0.0,
        "Control start",
        "Fraction of the denoising steps after which it begins, 0 to 1.",
        ge=0,
        le=1,
        group="Control",
    )
    control_end: float = knob(
        1.0,
        "Control end",
        "Fraction of the steps after which it ends. 0.6 to 0.8 leaves details free.",
        ge=0,
        le=1,
        group="Control",
    )
    guess_mode: bool = knob(
        False,
        "Guess mode",
        "Guides only the part with the prompt. For short or empty prompts.",
        group="Control",
    )
    control_model: SourceText = knob(
        "",
        "ControlNet model",
        "File, folder, Hugging Face id or civitai page. The base's own if empty.",
        group="Control",
    )
    canny_low: int = knob(100, "Canny low threshold", "Lower it for more edges.", ge=1, le=254)
    canny_high: int = knob(200, "Canny high threshold", "Raise it for fewer edges.", ge=2, le=255)
    second_control: SecondControl = knob(
        "none", "Second control type", "Another ControlNet beside the first one.", group=_SECOND
    )
    second_model: SourceText = knob("", "Second ControlNet model", "As the first one's.", group=_SECOND)
    second_image: OptionalFolder = knob(
        None, "Second control image", "The first one if empty.", group=_SECOND
    )
    second_scale: float = knob(
        1.0,
        "Second control strength",
        "0 to 2. Not changed by the row of strengths.",
        ge=0,
        le=2,
        group=_SECOND,
    )
    second_start: float = knob(
        0.0,
        "Second control start",
        "Fraction of the denoising steps after which it begins, 0 to 1.",
        ge=0,
        le=1,
        group=_SECOND,
    )
    second_end: float = knob(
        1.0,
        "Second control end",
        "Fraction of the denoising steps after which it ends, 0 to 1.",
        ge=0,
        le=1,
        group=_SECOND,
    )
    dataset: str = knob(
        "",
        "Dataset",
        "Reference of the likeness. That of the first run if empty.",
        group="Report",
    )
    report: str = knob("", "Report name", "Made from the date if empty.", group="Report")

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_given(cls, given: Any) -> Any:
        """Leave out an empty dataset, so that the run's one is taken."""
        if isinstance(given, dict) and given.get("dataset") == "":
            return {name: value for name, value in given.items() if name != "dataset"}
        return given

    @field_validator("image")
    @classmethod
    def _needed(cls, image: Path | None, info: ValidationInfo) -> Path | None:
        if image is None and not info.data.get("pose"):
            raise ValueError("Required")
        return image

    @model_validator(mode="after")
    def _edges_have_an_image(self) -> ControlJob:
        kinds = {self.control: self.image}
        if self.second_control != "none":
            kinds[self.second_control] = self.second_image or self.image
        if "canny" in kinds and kinds["canny"] is None:
            raise ValueError("Edges need a control image.")
        return self

    @model_validator(mode="after")
    def _start_before_end(self) -> ControlJob:
        for name in ("control", "second"):
            start, end = getattr(self, f"{name}_start"), getattr(self, f"{name}_end")
            if start >= end:
                raise ValueError(
                    f"The {name} start {start:g} isn't below its end {end:g}: no step would be guided."
                )
        return self

    @property
    def scales(self) -> tuple[float, ...]:
        """Strengths of the first ControlNet, one a column."""
        return self.strengths or (self.control_scale,)

    @property
    def second(self) -> ControlJob | None:
        """The job of the second map alone, or None without a second ControlNet."""
        if self.second_control == "none":
            return None
        changes = {
            "control": self.second_control,
            "image": self.second_image or self.image,
            "control_model": self.second_model,
            "control_scale": self.second_scale,
            "control_start": self.second_start,
            "control_end": self.second_end,
        }
        return self.model_copy(update=changes)
