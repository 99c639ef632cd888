"""Account of a preset file in sentences."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dreamgui.config import TrainJob
from dreamgui.presets.reading import Reading, shortened


def heading(reading: Reading) -> str:
    """Return one sentence: the source, and the numbers of keys taken, left and switched off."""
    taken = len({item.key for item in reading.taken})
    off = f", {len(reading.off)} more are off there" if reading.off else ""
    return f"From {reading.source}: {taken} taken, {len(reading.left)} left out{off}."


def lines_of(reading: Reading, given: Collection[str] = ()) -> list[str]:
    """Return the account line by line: what was taken, as which field, and what not, with the reason.

    Args:
        reading: the account.
        given: fields that the user gave, which win.
    """
    taken = [
        f"  {label_of(item.field)}: {text_of(item.value)} ({item.key})"
        + (" - not used, as another value is given" if item.field in given else "")
        for item in reading.taken
    ]
    left = [f"  {key}: {reason}" for key, reason in reading.left.items()]
    return [heading(reading), *(["Taken:", *taken] if taken else []), *(["Left out:", *left] if left else [])]


def label_of(name: str) -> str:
    """Return the label of a training's field."""
    return str(TrainJob.model_fields[name].title)


def text_of(value: Any) -> str:
    """Return a field's value as short text, "empty" for None, "on" and "off" for switches."""
    if value is None or value == "":
        return "empty"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return shortened("; ".join(map(str, value)))
    return f"{value:g}" if isinstance(value, float) else shortened(value)
