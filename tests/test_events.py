"""Every event survives the log."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from dreamgui.events import EVENTS, Event, from_json, to_json

VALUES: dict[str, Any] = {
    "str": "text", "int": 3, "float": 0.25, "float | None": None, "Path": Path("a/b"), "Picture": Path("c.png"),
    "tuple[int, int, int, int]": (1, 2, 3, 4), "dict[str, float | None]": {"likeness": 0.5, "drift": None},
}  # fmt: skip


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)
def test_events_survive_json(kind: type[Event]) -> None:
    event = kind(**{item.name: VALUES[str(item.type)] for item in fields(kind)})
    assert from_json(json.loads(json.dumps(to_json(event)))) == event
