"""Keep this one: the suggested checkpoint or strength of a comparison becomes a run of its own."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.config import KeepJob
from dreamgui.errors import BadInput
from dreamgui.events import Saved
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.ui.results.report_data import report_data

IDLE = "Choose a row of the comparison, then press Keep this one."
ADVICE = "Choose the run in Generate, Compare or Convert."


class Keep:
    """The rows of a finished comparison that can become runs, the suggested one chosen.

    Args:
        services: with the workspace of the reports.
        form: the comparison's.
        watch: that follows the job.
    """

    def __init__(self, services: Services, form: Form, watch: Watch) -> None:
        self._services = services
        panel = RunPanel(services, "keep", "keep", IDLE, ADVICE)
        with gr.Group(visible=False, elem_id="compare-keep") as self._group:
            self._row = gr.Dropdown(
                label="Model to keep", info="The suggested one comes first.", elem_id="compare-keep-row"
            )
            panel.place_buttons("Keep this one")
            panel.place_progress()
        panel.runs(form, self._job, [self._row])
        watch.attach("keep", panel.updates, panel.outputs)

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [self._group, self._row]

    def show(self, view: JobView) -> Updates:
        """Offer the rows of the finished comparison, hidden where none of them can become a run."""
        saved = next((event for event in view.all(Saved) if event.what == "report"), None)
        choices = keepable(report_data(self._services.workspace, saved.name)) if saved else []
        if not choices:
            return {self._group: gr.update(visible=False), self._row: gr.update(choices=[], value=None)}
        offered = [(told, f"{model}:{strength:g}") for told, model, strength in choices]
        return {
            self._group: gr.update(visible=True),
            self._row: gr.update(choices=offered, value=offered[0][1]),
        }

    def _job(self, chosen: str | None) -> KeepJob:
        model, _, strength = (chosen or "").rpartition(":")
        if not model:
            raise BadInput("No row is chosen.", "Choose a row of the comparison.")
        return KeepJob(model=model, strength=float(strength))


def keepable(report: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Return (row, model, strength) of each row that isn't a run of its own yet, the suggested ones first.

    Args:
        report: a comparison's report.json.
    """
    plane = report.get("plane") or {}
    suggested = {each["model"] for each in plane.get("suggestions", ())}
    rows = []
    for row in report.get("models", ()):
        model, strength = row.get("model") or row["name"], row.get("strength")
        strength = 1.0 if strength is None else float(strength)
        kept = model.rpartition("@")[2] == str(row.get("steps")) and "@" in model
        if row.get("kind") in ("lora", "unet") and (kept or strength != 1):
            told = f"{row['name']} (suggested)" if row["name"] in suggested else row["name"]
            rows.append((told, model, strength))
    return sorted(rows, key=lambda row: not row[0].endswith("(suggested)"))
