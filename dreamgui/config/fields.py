"""Shared by all jobs: types of fields, the description of a field, and the frozen base."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

Framing = Literal["close-up", "medium", "full"]
Method = Literal["unet", "lora"]
ControlKind = Literal["canny", "pose"]
ControlImage = Literal["auto", "photograph", "map"]
ControlFit = Literal["whole", "crop"]
SecondControl = Literal["none", "canny", "pose"]
Dtype = Literal["fp16", "bf16", "fp32"]
Schedule = Literal["constant", "linear", "cosine"]
LoraTargets = Literal["attention", "attention+conv"]
OptimizerName = Literal["adamw", "adamw-8bit", "prodigy", "schedule-free"]
MemoryTier = Literal["auto", "none", "24GB", "16GB", "12GB", "8GB", "6GB", "least"]
FinishWith = Literal["last", "best"]
BestBy = Literal["loss", "likeness"]
ModelForm = Literal["diffusers", "single-file"]
ExportFormat = Literal["single-file", "diffusers", "lora-kohya", "lora-diffusers"]
DatasetLayout = Literal["dreamgui", "kohya", "diffusers"]
MixWay = Literal["weighted-sum", "add-difference"]
SchedulerName = Literal[
    "dpm++", "dpm++karras", "dpm++sde", "unipc", "euler", "euler-a", "ddim", "pndm", "lcm"
]
UnetWeights = Literal["plain", "ema"]

SAMPLER_NAMES: dict[SchedulerName, str] = {
    "dpm++": "DPM++ 2M",
    "dpm++karras": "DPM++ 2M Karras",
    "dpm++sde": "DPM++ 2M SDE Karras",
    "unipc": "UniPC",
    "euler": "Euler",
    "euler-a": "Euler a",
    "ddim": "DDIM",
    "pndm": "PLMS",
    "lcm": "LCM",
}
"""Names of the samplers in other programs and in the page."""

_SECRETS = r"(?:access[_-]?|auth[_-]?|hf[_-]?)?token|api[_-]?key|key|secret|password|signature"
MOST_LINES = 100

COMPARE_PROMPTS = (
    "a photo of sks woman face in the forest",
    "a photo of sks woman face on the beach",
    "a photo of sks woman face in the snow",
    "a photo of sks woman face in the city at night",
    "a photo of sks woman face on the moon",
)


def _lines(value: Any) -> Any:
    """Return the lines of a text box as a tuple. Lists of the command line and JSON stay."""
    if isinstance(value, str):
        return tuple(line.strip() for line in value.splitlines() if line.strip())
    return value


def _without_token(value: Any) -> Any:
    """Remove secrets from an address, before job.json keeps it: tokens in its query, name and password before its host."""
    if not isinstance(value, str):
        return value
    bare = re.sub(rf"(?i)([?&])(?:{_SECRETS})=[^&#]*&?", r"\1", value).rstrip("?& ")
    return re.sub(r"(?i)^(\s*[a-z][a-z0-9+.-]*://)[^/?#]*@", r"\1", bare)


def _none_if_blank(value: Any) -> Any:
    """Return None for an empty text box, which would otherwise name the working folder."""
    return None if isinstance(value, str) and not value.strip() else value


def _few(lines: tuple[str, ...]) -> tuple[str, ...]:
    if len(lines) > MOST_LINES:
        raise ValueError(f"{len(lines)} lines are too many, at most {MOST_LINES}")
    return lines


Lines = Annotated[tuple[str, ...], BeforeValidator(_lines), AfterValidator(_few)]


def _parts(value: Any) -> Any:
    """Split the numbers of a text box at spaces, commas and line ends. Lists of JSON stay."""
    return (
        tuple(re.split(r"[\s,;]+", value.strip(" \t\r\n,;")))
        if isinstance(value, str) and value.strip()
        else value
    )


def _rates(value: Any) -> Any:
    """Split as :func:`_parts`. Refuse "1,5e-4", as it may mean 1.5e-4 or 1 and 5e-4."""
    if isinstance(value, str) and (found := re.search(r"(?<![\w.+-])[+-]?\d+,\d[\w.+-]*", value)):
        raise ValueError(
            f"{found[0]!r} is ambiguous. Write {found[0].replace(',', '.')}, "
            f"or {found[0].replace(',', ' ')} for two numbers"
        )
    return _parts(value)


def _within(low: float, high: float) -> AfterValidator:
    def check(values: tuple[float, ...]) -> tuple[float, ...]:
        for value in values:
            if not low <= value <= high:
                raise ValueError(f"{value:g} isn't between {low:g} and {high:g}")
        return tuple(dict.fromkeys(values))

    return AfterValidator(check)


Ranks = Annotated[tuple[int, ...], BeforeValidator(_parts), _within(1, 256)]
Rates = Annotated[tuple[float, ...], BeforeValidator(_rates), _within(1e-9, 1)]
Strengths = Annotated[
    tuple[float, ...],
    BeforeValidator(lambda value: () if isinstance(value, str) and not value.strip() else _rates(value)),
    _within(0, 2),
]
Guidances = Annotated[
    tuple[float, ...],
    BeforeValidator(lambda value: () if isinstance(value, str) and not value.strip() else _rates(value)),
    _within(1, 30),
]
Samplers = Annotated[
    tuple[SchedulerName, ...],
    BeforeValidator(lambda value: () if isinstance(value, str) and not value.strip() else _parts(value)),
    AfterValidator(lambda names: tuple(dict.fromkeys(names))),
]
OptionalFolder = Annotated[Path | None, BeforeValidator(_none_if_blank)]
SourceText = Annotated[str, BeforeValidator(_without_token)]


def knob(
    default: Any,
    label: str,
    info: str = "",
    *,
    group: str = "",
    choices: str = "",
    positional: bool = False,
    **limits: Any,
) -> Any:
    """Return a field of a job.

    Args:
        default: value when none is given; ``...`` makes the field required.
        label: one to five words in the field's terms; the widget's label.
        info: what the field does, its sensible range, when to change it; the line below the label. The field's
            description, for ``--help`` and the API, is "label: info".
        group: title of the closed accordion that holds the field; "" places it in front.
        choices: source of the page's choices: ``"models"``, ``"bases"``, ``"datasets"``, ``"runs"``,
            and of the runs ``"loras"`` and ``"unets"``.
        positional: the command line takes the value without ``--name`` before it.
        limits: pydantic's ``ge``, ``le``, ``min_length``...
    """
    extra: dict[str, Any] = {"info": info, "group": group, "choices": choices, "positional": positional}
    if isinstance(default, float):
        limits["allow_inf_nan"] = False
    description = f"{label}: {info}" if info else label
    return Field(default, title=label, description=description, json_schema_extra=extra, **limits)


class JobConfig(BaseModel):
    """Base of all jobs: frozen, no unknown fields.

    Attributes:
        kind: its name in job.json, the API and the command line, and the name of its recipe.
        doing: its activity in words, for whoever waits behind it.
        noun: the title of the browser's window while it runs.
        tab: id of the page's tab that shows it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str] = ""
    doing: ClassVar[str] = ""
    noun: ClassVar[str] = ""
    tab: ClassVar[str] = ""

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false for a number, which would count as 1 and 0."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError("a number is needed, not true or false")
        return value
