"""Likeness of runs, as the reports of comparisons and sweeps measured it."""

from __future__ import annotations

from dreamgui.evaluate.reports.scores import measured
from dreamgui.library.reading import made_at, read_json_file
from dreamgui.workspace import Workspace


def likenesses(workspace: Workspace) -> dict[str, float]:
    """Return likeness from 0 to 1 by model name, of each the newest report's."""
    found: dict[str, tuple[float, float]] = {}
    for folder in (workspace.root / "reports").iterdir():
        read = read_json_file(folder / "report.json")
        made = made_at(folder / "report.json", folder)
        for name, value in measured(read.content or {}):
            found[name] = max(found.get(name, (0.0, 0.0)), (made, value))
    return {name: value for name, (_, value) in found.items()}
