"""Work that a test counts in place of seconds: bytes that were read, and texts that were parsed as JSON."""

from __future__ import annotations

import json
from typing import Any

import psutil
import pytest


def bytes_read() -> int:
    """Bytes that this process, and children that have ended, have read from files so far; Linux counts them."""
    return psutil.Process().io_counters().read_chars


def longest_json(patch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gathers the length of each text that ``json.loads`` is given from now on."""
    lengths, loads = [0], json.loads

    def counted(text: str | bytes, **settings: Any) -> Any:
        lengths.append(len(text))
        return loads(text, **settings)

    patch.setattr(json, "loads", counted)
    return lengths
