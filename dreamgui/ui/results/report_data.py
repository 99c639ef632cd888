"""Reports of the workspace as the page reads them."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.errors import UnknownName
from dreamgui.events import Saved
from dreamgui.ui.parts.pictures import zipped
from dreamgui.ui.parts.stream import JobView
from dreamgui.workspace import Workspace, read_json


def download_update(workspace: Workspace, view: JobView) -> Any:
    """Return an update of a download button: the job's saved report as a zip file, hidden without one."""
    report = next((saved.name for saved in view.all(Saved) if saved.what == "report"), "")
    if report not in workspace.names("reports"):
        return gr.update(visible=False)
    return gr.update(visible=True, value=zipped(workspace.find("reports", report)))


def report_data(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return the content of a report's report.json, empty where it can't be read or isn't one."""
    try:
        data = read_json(workspace.find("reports", name) / "report.json")
    except (OSError, ValueError, RecursionError, UnknownName):
        return {}
    return data if isinstance(data, dict) else {}
