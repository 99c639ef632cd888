"""Job of a comparison: models, prompts and seeds, and presets of their number."""

from __future__ import annotations

from typing import ClassVar, Literal

from dreamgui.config.fields import (
    COMPARE_PROMPTS,
    Guidances,
    Lines,
    OptionalFolder,
    Samplers,
    Strengths,
    knob,
)
from dreamgui.config.sampling import GenerationSettings

Preset = Literal["none", "quick", "usual", "paper"]
ChosenBy = Literal["dlib", "second"]
SEED_STRIDE = 1000
"""From one picture of a prompt to the next one's seed: more prompts or more seeds change no picture of before."""

PAPER_PROMPTS = COMPARE_PROMPTS + tuple(
    f"a photo of sks woman face {rest}"
    for rest in (
        "in the mountains",
        "in the desert",
        "in a garden",
        "in a kitchen",
        "in a library",
        "in an office",
        "in a cafe",
        "in a studio",
        "in the street",
        "by the sea",
        "under water",
        "in a museum",
        "in a train",
        "on a bridge at sunset",
        "in a field of flowers",
        "in the rain with an umbrella",
        "with a hat",
        "with sunglasses",
        "with a red scarf",
        "from the side",
    )
)
"""Twenty-five prompts, as many as the DreamBooth paper has for a living subject."""

PRESETS: dict[Preset, tuple[tuple[str, ...], int]] = {
    "quick": (COMPARE_PROMPTS, 1),
    "usual": (COMPARE_PROMPTS, 4),
    "paper": (PAPER_PROMPTS, 4),
}
"""Prompts and seeds per prompt."""


class CompareJob(GenerationSettings):
    """Generate the same prompts with the same seeds through several models, and measure likeness."""

    kind: ClassVar[str] = "compare"
    doing: ClassVar[str] = "a comparison is running"
    noun: ClassVar[str] = "Comparison"
    tab: ClassVar[str] = "compare"
    models: tuple[str, ...] = knob(
        ("portraits",), "Models", "1 to 12, side by side.", choices="models", min_length=1, max_length=12
    )
    prompts: Lines = knob(COMPARE_PROMPTS, "Prompts", "One per line.", min_length=1, max_length=25)
    dataset: str = knob("my-photos", "Dataset", "Reference of the likeness.", choices="datasets")
    report: str = knob("", "Report name", "Made from the date if empty.", group="Report")
    seeds: int = knob(
        1, "Seeds per prompt", "1 is quick, 4 is usual. More seeds narrow the intervals.", ge=1, le=16
    )
    kept_models: bool = knob(
        False,
        "Kept models too",
        "Each run's models kept on its way are compared as well: which step is best.",
        group="Checkpoints",
    )
    strengths: Strengths = knob(
        (),
        "LoRA strengths",
        "0.6 0.8 1 1.2 compares each LoRA at each. Empty: one strength.",
        group="Axes",
        max_length=8,
    )
    samplers: Samplers = knob(
        (),
        "Samplers to compare",
        "Sampler names with spaces between. Each model uses each sampler.",
        group="Axes",
        max_length=9,
    )
    guidances: Guidances = knob(
        (),
        "Guidance scales",
        "1 to 30, for instance 3 5 7.5: each model with each. Empty: one.",
        group="Axes",
        max_length=8,
    )
    reuse: bool = knob(
        True,
        "Reuse pictures",
        "Reuses earlier reports' pictures of the same weights and settings.",
        group="Axes",
    )
    fetch_sface: bool = knob(
        False,
        "Fetch SFace",
        "37 MB once, from OpenCV's model zoo (Apache-2.0): a second recogniser that reports.",
        group="Measures",
    )
    recogniser: OptionalFolder = knob(
        None,
        "Second recogniser",
        "Own ONNX file for faces of 112 x 112 pixels. SFace if empty.",
        group="Measures",
    )
    chosen_by: ChosenBy = knob(
        "dlib",
        "Checkpoints chosen by",
        "The other recogniser reports, as the one that chooses flatters its choice.",
        group="Measures",
    )
    clip: OptionalFolder = knob(
        None,
        "CLIP",
        "Folder or hub id, as in openai/clip-vit-base-patch32, for CLIP-T and CLIP-I.",
        group="Measures",
    )
    preset: Preset = knob("none", "Preset", "quick 5 x 1, usual 5 x 4, paper 25 prompts x 4 seeds.")
    from_: OptionalFolder = knob(
        None,
        "Report to repeat",
        "report.json, or a report's name: its pictures are generated again.",
        group="Report",
    )

    def with_preset(self) -> CompareJob:
        """Return the job with the preset's prompts and seeds where they weren't given.

        What wasn't given still counts as not given, so that prompts follow the run.
        """
        if self.preset == "none":
            return self
        prompts, seeds = PRESETS[self.preset]
        values = {"prompts": prompts, "seeds": seeds}
        new = {name: value for name, value in values.items() if name not in self.model_fields_set}
        return self.model_construct(_fields_set=set(self.model_fields_set), **{**dict(self), **new})

    @property
    def pairs_of_sampling(self) -> tuple[tuple[str, float], ...]:
        """Return each sampler with each guidance scale, or the job's own where none are given."""
        samplers, guidances = self.samplers or (self.scheduler,), self.guidances or (self.guidance_scale,)
        return tuple((sampler, guidance) for sampler in samplers for guidance in guidances)

    def seed_of(self, prompt: int, number: int = 0) -> int:
        """Return the seed of a prompt's picture, the same for every model.

        Args:
            prompt: the prompt's place, from 0.
            number: the picture's place among those of this prompt, from 0.
        """
        return self.seed + prompt + SEED_STRIDE * number
