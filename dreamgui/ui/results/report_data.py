"""Reports of the workspace as the page reads them."""

from __future__ import annotations

from typing import Any

from dreamgui.errors import UnknownName
from dreamgui.workspace import Workspace, read_json


def report_data(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return the content of a report's report.json, empty where it can't be read or isn't one."""
    try:
        data = read_json(workspace.find("reports", name) / "report.json")
    except (OSError, ValueError, RecursionError, UnknownName):
        return {}
    return data if isinstance(data, dict) else {}
