"""The job of the Generate tab: pictures of one model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, model_validator

from dreamgui.config.fields import Lines, knob
from dreamgui.config.sampling import GenerationSettings

LEAST_PX, MOST_PX = 64, 2048
RANDOM_SEED = -1


def _size(text: str) -> str:
    """Return "" or "WIDTHxHEIGHT", whichever way it was written."""
    if not text.strip():
        return ""
    found = re.fullmatch(r"\s*(\d{1,5})\s*[xX\u00d7*, ]\s*(\d{1,5})\s*", text)
    if not found:
        raise ValueError(f"{text!r} isn't width x height, for instance 512x768")
    sides = [int(side) for side in found.groups()]
    if any(side % 8 or not LEAST_PX <= side <= MOST_PX for side in sides):
        raise ValueError(f"{text!r}: both sides must be multiples of 8 from {LEAST_PX} to {MOST_PX}")
    return "{}x{}".format(*sides)


def _strengths(lines: tuple[str, ...]) -> tuple[str, ...]:
    for line in lines:
        lora_use(line)
    return lines


def lora_use(line: str) -> tuple[str, float]:
    """Return name and strength of a line "NAME" or "NAME:STRENGTH".

    Raises:
        ValueError: the strength lies outside -2 to 2, or there is no name.
    """
    name, colon, text = line.rpartition(":")
    if not colon:
        name, text = line, "1"
    try:
        strength = float(text.replace(",", "."))
    except ValueError:
        name, strength = line, 1.0
    if not name.strip():
        raise ValueError(f"{line!r} names no LoRA")
    if not -2 <= strength <= 2:
        raise ValueError(f"the strength of {line!r} isn't between -2 and 2")
    return name.strip(), strength


def _none_if_blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Size = Annotated[str, AfterValidator(_size)]
LoraLines = Annotated[Lines, AfterValidator(_strengths)]
OptionalFile = Annotated[Path | None, BeforeValidator(_none_if_blank)]


class GenerateJob(GenerationSettings):
    """Generate pictures of a prompt with a base model or a run, and keep them with everything that made them."""

    kind: ClassVar[str] = "generate"
    doing: ClassVar[str] = "pictures are being generated"
    noun: ClassVar[str] = "Generation"
    tab: ClassVar[str] = "generate"
    prompt: str = knob(
        "a photo of {token} on the beach",
        "Prompt",
        "{token} becomes the run's trigger words, for instance sks woman face.",
        positional=True,
    )
    model: str = knob("portraits", "Model", "A base model or a run.", choices="models")
    size: Size = knob(
        "", "Size", "Width x height in pixels, for instance 512x768. The base model's if empty."
    )
    count: int = knob(1, "Pictures", "Each has its own seed.", ge=1, le=16)
    seed: int = knob(
        RANDOM_SEED,
        "Seed",
        "-1 takes a new one each time. The next pictures have the next seeds.",
        ge=RANDOM_SEED,
        le=2**31 - 1,
    )
    lora_scale: float = knob(
        1.0, "LoRA strength", "0 is off, 1 is as trained; -2 to 2.", ge=-2, le=2, group="LoRA"
    )
    loras: LoraLines = knob(
        (),
        "Further LoRAs",
        "One per line: the name of a run, a colon, and its strength (-2 to 2).",
        max_length=8,
        group="LoRA",
    )
    image: OptionalFile = knob(
        None, "Start image", "A picture to begin with. Noise alone if empty.", group="Start image"
    )
    mask: OptionalFile = knob(
        None,
        "Mask",
        "White where the start image is generated anew. All of it if empty.",
        group="Start image",
    )
    image_strength: float = knob(
        0.6,
        "Denoising strength",
        "0 keeps the start image, 1 leaves little of it. 0.3 to 0.7 is usual.",
        ge=0,
        le=1,
        group="Start image",
    )
    two_passes: bool = knob(
        True,
        "Two passes for large pictures",
        "Generates at the base model's size, enlarges, and refines: no doubled heads.",
        group="Large pictures",
    )
    second_strength: float = knob(
        0.5,
        "Strength of the second pass",
        "0.4 to 0.6 is usual. Higher invents more detail.",
        ge=0.05,
        le=1,
        group="Large pictures",
    )
    face_pass: bool = knob(
        False,
        "Face pass",
        "Generates the largest face again at full size and blends it in.",
        group="Faces",
    )
    face_strength: float = knob(
        0.45,
        "Strength of the face pass",
        "0.3 to 0.6 is usual. Higher follows the trained person more.",
        ge=0.05,
        le=1,
        group="Faces",
    )

    out: OptionalFile = knob(
        None, "Folder of copies", "Each picture is copied there too. None if empty.", group="Output"
    )

    @model_validator(mode="after")
    def _mask_has_an_image(self) -> GenerateJob:
        if self.mask is not None and self.image is None:
            raise ValueError("A mask needs a start image.")
        return self

    @property
    def width_height(self) -> tuple[int, int] | None:
        """Width and height in pixels. ``None`` is the base model's own size."""
        if not self.size:
            return None
        width, height = self.size.split("x")
        return int(width), int(height)
