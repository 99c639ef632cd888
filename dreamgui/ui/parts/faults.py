"""Faults of a form's values, in words short enough for a field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from dreamgui.config import JobConfig

SENTENCES = {
    "missing": "Required.",
    "less_than_equal": "At most {le}.",
    "greater_than_equal": "At least {ge}.",
    "greater_than": "More than {gt:g}.",
    "multiple_of": "A multiple of {multiple_of}.",
    "too_short": "Required.",
    **dict.fromkeys(("int_from_float", "int_parsing", "int_type"), "A whole number."),
    **dict.fromkeys(("float_parsing", "float_type"), "A number."),
    "value_error": "{error}.",
    "too_long": "At most {max_length}.",
}
EMPTY = "Empty: type a number."


def given_of(model: type[JobConfig], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without None, but where None says that a field is empty."""
    may_be_open = {name for name, field in model.model_fields.items() if field.default is None}
    return {name: value for name, value in values.items() if value is not None or name in may_be_open}


def faults_of(model: type[JobConfig], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the faults of a config's values by field, each in a few words."""
    try:
        model.model_validate(given_of(model, values))
    except ValidationError as error:
        return {str(item["loc"][0]) if item["loc"] else "": _sentence(item) for item in error.errors()}
    return {}


def _sentence(item: Mapping[str, Any]) -> str:
    """Return a fault in a few words, as a widget has little room."""
    return SENTENCES.get(item["type"], f"{item['msg']}.").format(**item.get("ctx", {}))
