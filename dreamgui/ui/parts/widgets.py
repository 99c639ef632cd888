"""One widget for one field of a config model, by its type and limits."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import gradio as gr
from gradio.components import Component
from pydantic.fields import FieldInfo

from dreamgui.config import SAMPLER_NAMES

SLIDER_STEPS = 200
SLIDER_INTEGERS = 254
SLIDER_HIGHEST = 30
WORDS: dict[str, str] = {
    "unet": "Whole UNet",
    "lora": "LoRA",
    "canny": "Edges (canny)",
    "pose": "Pose",
    "whole": "Whole picture",
    "crop": "Square about the face",
    "attention": "Attention",
    "attention+conv": "Attention and convolutions",
    **SAMPLER_NAMES,
}


def make_widget(field: FieldInfo, choices: list[str], options: dict[str, Any]) -> Component:
    """Return the widget that suits a field's type and limits."""
    annotation = _plain(field.annotation)
    if extra(field, "choices"):
        return _chooser(field, choices, options)
    if get_origin(annotation) is Literal:
        return gr.Radio(
            choices=[(WORDS.get(str(name), str(name)), name) for name in get_args(annotation)], **options
        )
    if is_many(annotation):
        options.setdefault("lines", len(field.default or ()) or 2)
        return gr.Textbox(**options)
    if annotation is bool:
        return gr.Checkbox(**options)
    if annotation in (int, float):
        return _number(field, annotation, options)
    if not field.repr:
        return gr.Textbox(type="password", **options)
    return gr.Textbox(**options)


def _chooser(field: FieldInfo, choices: list[str], options: dict[str, Any]) -> Component:
    many = is_many(field.annotation)
    options["value"] = still_there(options["value"], choices, many)
    if many:
        return gr.CheckboxGroup(choices=choices, **options)  # pyright: ignore[reportArgumentType]
    return gr.Dropdown(choices=choices, **options)  # pyright: ignore[reportArgumentType]


def _number(field: FieldInfo, kind: type, options: dict[str, Any]) -> Component:
    """Return a slider where the range allows one, else a number field. The form's check tells its limits."""
    if (span := slider_span(field)) is not None:
        low, high, step = span
        return gr.Slider(low, high, step=step, **options)
    if field.default is None:
        # The page turns null into 0 when it makes the widget, and takes an empty text as it is.
        return gr.Number(**options | {"value": number_to_widget(options["value"])})
    # A precision would round a typed fraction without a word.
    return gr.Number(**options)


def number_to_widget(value: Any) -> Any:
    """Return a number as its widget holds it: an empty text for None, so that the page shows no 0."""
    return "" if value is None else value


def slider_span(field: FieldInfo) -> tuple[float, float, float] | None:
    """Return lowest value, highest value and step of a slider, for a share, a strength or a count, else None."""
    low, high, kind = _limit(field, "ge"), _limit(field, "le"), _plain(field.annotation)
    if low is None or high is None or field.default is None:
        return None
    if kind is int and high - low < SLIDER_INTEGERS:
        return low, high, 1
    if kind is float and high <= SLIDER_HIGHEST:
        return low, high, next(step for step in (0.05, 0.1, 0.5) if (high - low) / step <= SLIDER_STEPS)
    return None


def holds_path(field: FieldInfo) -> bool:
    """Return whether a field names a file or folder of this machine."""
    return _plain(field.annotation) is Path


def is_number(field: FieldInfo) -> bool:
    """Return whether a field is a number, or may be one."""
    return _plain(field.annotation) in (int, float)


def is_narrow(field: FieldInfo) -> bool:
    """Return whether a field is a typed number, so that two of them fit beside each other."""
    return is_number(field) and slider_span(field) is None


def _limit(field: FieldInfo, name: str) -> float | None:
    return next((getattr(item, name) for item in field.metadata if hasattr(item, name)), None)


def extra(field: FieldInfo, key: str) -> Any:
    """Return a note of ``knob`` (dreamgui/config) on a field: "info", "group" or "choices"."""
    extra = field.json_schema_extra
    return extra.get(key, "") if isinstance(extra, dict) else ""


def _plain(annotation: Any) -> Any:
    """Return the annotation without "or None" and without pydantic's additions."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _plain(next(kind for kind in get_args(annotation) if kind is not type(None)))
    return annotation


def is_many(annotation: Any) -> bool:
    """Return whether a field holds several values."""
    return get_origin(_plain(annotation)) is tuple


def to_widget(value: Any) -> Any:
    """Return a default as a widget holds it: several prompts are lines."""
    return "\n".join(str(item) for item in value) if isinstance(value, tuple | list) else value


def still_there(value: Any, choices: list[str], many: bool) -> Any:
    """Return the value if it can still be chosen, else the newest choice (the first one for several)."""
    if many:
        wanted = value.splitlines() if isinstance(value, str) else value or []
        return [item for item in wanted if item in choices] or choices[:1]
    return value if value in choices else (choices[-1] if choices else None)
