"""Settings that were found in a file, with the account of each of its keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from dreamgui.config import TrainJob

NO_COUNTERPART = "no such setting here"


@dataclass(frozen=True)
class Taken:
    """One key that was taken: its name in the file, the field of :class:`TrainJob`, and the field's value."""

    key: str
    field: str
    value: Any


@dataclass
class Reading:
    """Account of a file.

    Attributes:
        source: the program that wrote the file, in words.
        taken: the keys that have a counterpart, in the file's order.
        left: reasons of the keys that change something there and weren't taken, by key.
        off: keys that are switched off in the file and are unknown here, so that nothing is missing.
    """

    source: str
    taken: list[Taken] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    off: list[str] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """Values by field of :class:`TrainJob`. Of two keys for one field, the later one's value counts."""
        return {item.field: item.value for item in self.taken}

    def take(self, key: str, name: str, value: Any) -> None:
        """Take a value for a field, or leave it with the reason where it lies outside the field's limits."""
        try:
            job = TrainJob.model_validate({name: value})
        except ValidationError as error:
            told = error.errors()[0]["msg"]
            self.leave(key, f"{TrainJob.model_fields[name].title} takes no {shortened(value)}: {told}")
        else:
            self.taken.append(Taken(key, name, getattr(job, name)))

    def take_named(
        self, flat: Mapping[str, Any], plain: Mapping[str, str], switches: Mapping[str, str]
    ) -> None:
        """Take numbers and switches by their keys' names here."""
        for key, name in plain.items():
            if (value := number(flat.get(key))) is not None:
                self.take(key, name, value)
        for key, name in switches.items():
            if isinstance(flat.get(key), bool):
                self.take(key, name, flat[key])

    def leave(self, key: str, reason: str) -> None:
        """Leave a key for this reason."""
        self.left[key] = reason

    def rest(self, values: Mapping[str, Any]) -> None:
        """Account for the keys that nobody has taken or left yet."""
        known = {item.key for item in self.taken} | set(self.left) | set(self.off)
        for key, value in values.items():
            if key not in known:
                if is_off(value):
                    self.off.append(key)
                else:
                    self.leave(key, NO_COUNTERPART)


def is_off(value: Any) -> bool:
    """Return whether a value switches something off: nothing, no, 0, "none", or holds such values only."""
    if isinstance(value, Mapping):
        return all(map(is_off, value.values()))
    if isinstance(value, str):
        return value.strip().lower() in ("", "0", "0.0", "no", "none", "off", "false")
    return not value


def number(value: Any) -> int | float | None:
    """Return a number, also one that is written as text or with a decimal comma, or None without one."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value.replace(",", ".") if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(found):
        return None
    return int(found) if found.is_integer() else found


def shortened(value: Any) -> str:
    """Return a value as text of at most 60 letters."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
