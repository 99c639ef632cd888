"""Likeness of models, as reports of comparisons and sweeps hold it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dreamgui.workspace import Workspace


def measured(report: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield model names and their likeness, 0 to 1, out of a report.json's content."""
    for key, label in (("models", "name"), ("rows", "run")):
        for row in report[key] if isinstance(report.get(key), list) else ():
            if isinstance(row, dict) and isinstance(row.get("likeness"), int | float):
                yield str(row.get(label, "")), float(row["likeness"])


def likeness_of(workspace: Workspace, name: str) -> float | None:
    """Return a model's likeness, 0 to 1, of the newest report that has one, or None where none has."""
    files = [folder / "report.json" for folder in (workspace.root / "reports").iterdir()]
    for path in sorted(filter(lambda file: file.is_file(), files), key=_changed, reverse=True):
        try:
            report = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        found = dict(measured(report)) if isinstance(report, dict) else {}
        if name in found:
            return found[name]
    return None


def _changed(path: Any) -> float:
    return path.stat().st_mtime
