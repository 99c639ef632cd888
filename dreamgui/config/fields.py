"""What all jobs share: kinds of fields, how a field is said, and the frozen base."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Framing = Literal["close-up", "medium", "full"]
Method = Literal["unet", "lora"]
ControlKind = Literal["canny", "pose"]
Dtype = Literal["fp16", "bf16", "fp32"]
Schedule = Literal["constant", "linear", "cosine"]
LoraTargets = Literal["attention", "attention+conv"]
OptimizerName = Literal["adamw", "adamw-8bit", "prodigy", "schedule-free"]
MemoryTier = Literal["auto", "none", "24GB", "16GB", "12GB", "8GB", "6GB", "least"]
FinishWith = Literal["last", "best"]
ModelForm = Literal["diffusers", "single-file"]
ExportFormat = Literal["single-file", "diffusers", "lora-kohya", "lora-diffusers"]
MixWay = Literal["weighted-sum", "add-difference"]
SchedulerName = Literal["dpm++", "ddim", "pndm", "euler"]
UnetWeights = Literal["plain", "ema"]

COMPARE_PROMPTS = (
    "a photo of sks woman face in the forest",
    "a photo of sks woman face on the beach",
    "a photo of sks woman face in the snow",
    "a photo of sks woman face in the city at night",
    "a photo of sks woman face on the moon",
)


def _lines(value: Any) -> Any:
    """A text box holds a list as lines; the command line and JSON hold it as a list."""
    if isinstance(value, str):
        return tuple(line.strip() for line in value.splitlines() if line.strip())
    return value


def _without_token(value: Any) -> Any:
    """An address copied with its access token loses it here, before it is kept in job.json."""
    return (
        re.sub(r"(?i)([?&])(?:token|api_?key)=[^&#]*&?", r"\1", value).rstrip("?& ")
        if isinstance(value, str)
        else value
    )


def _none_if_blank(value: Any) -> Any:
    """An empty text box would otherwise be the working folder."""
    return None if isinstance(value, str) and not value.strip() else value


Lines = Annotated[tuple[str, ...], BeforeValidator(_lines)]


def _parts(value: Any) -> Any:
    """A text box holds numbers between spaces, commas or line ends; JSON holds them as a list."""
    return (
        tuple(re.split(r"[\s,;]+", value.strip(" \t\r\n,;")))
        if isinstance(value, str) and value.strip()
        else value
    )


def _within(low: float, high: float) -> AfterValidator:
    def check(values: tuple[float, ...]) -> tuple[float, ...]:
        for value in values:
            if not low <= value <= high:
                raise ValueError(f"{value:g} isn't between {low:g} and {high:g}")
        return tuple(dict.fromkeys(values))

    return AfterValidator(check)


Ranks = Annotated[tuple[int, ...], BeforeValidator(_parts), _within(1, 256)]
Rates = Annotated[tuple[float, ...], BeforeValidator(_parts), _within(1e-9, 1)]
OptionalFolder = Annotated[Path | None, BeforeValidator(_none_if_blank)]
SourceText = Annotated[str, BeforeValidator(_without_token)]


def knob(
    default: Any,
    label: str,
    *,
    fold: bool = False,
    choices: str = "",
    positional: bool = False,
    **limits: Any,
) -> Any:
    """A field of a job.

    Args:
        default: value when nobody says otherwise; ``...`` makes the field required.
        label: the sentence shown beside it in the page and in ``--help``.
        fold: put it under "More settings".
        choices: where the page takes its choices from: ``"models"``, ``"bases"``, ``"datasets"``, ``"runs"``.
        positional: on the command line it stands without ``--name`` before it.
        limits: pydantic's ``ge``, ``le``, ``min_length``...
    """
    extra: dict[str, Any] = {"fold": fold, "choices": choices, "positional": positional}
    if isinstance(default, float):
        limits["allow_inf_nan"] = False
    return Field(default, description=label, json_schema_extra=extra, **limits)


class JobConfig(BaseModel):
    """What every job shares: frozen, no unknown fields, and a kind that names its recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str] = ""
