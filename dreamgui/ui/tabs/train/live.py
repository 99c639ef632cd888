"""Preflight of a training, and run requests while it runs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.config import JobConfig, PreflightJob
from dreamgui.events import Begun
from dreamgui.services import Services
from dreamgui.training.run_requests import SAMPLE, SAVE, RunRequests
from dreamgui.ui.parts.form import Form, make_config
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.stream import JobView, view_of
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.watch import Updates, Watch

IDLE = "Measures memory, disk and time with one real step. Nothing is kept."


class Preflight:
    """Closed accordion: one step with the settings above."""

    def __init__(self, services: Services, training: Form) -> None:
        self.panel = RunPanel(services, "preflight", "preflight", IDLE)
        with gr.Accordion("Try one step first", open=False, elem_id="preflight-section"):
            self.panel.place_buttons("Try one step")
            self.panel.place_progress()

        def read(*values: Any) -> JobConfig:
            return make_config(PreflightJob, training.values(*values))

        self.panel.runs(training, read)

    def attach(self, watch: Watch) -> None:
        """Watch the job."""
        watch.attach("preflight", self.panel.updates, self.panel.outputs)


class LiveButtons:
    """Two buttons, visible while a training runs."""

    def __init__(self, services: Services) -> None:
        self.services = services
        with gr.Row(visible=False, elem_id="train-live", elem_classes="dg-buttons") as self._row:
            sample = gr.Button("Sample now", elem_id="train-sample-now", size="sm", min_width=110)
            save = gr.Button("Save now", elem_id="train-save-now", size="sm", min_width=110)
        sample.click(lambda: self._ask(SAMPLE, "Samples come after the current step."), **QUIET)
        save.click(lambda: self._ask(SAVE, "A checkpoint is saved after the current step."), **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """Component that :meth:`show` changes."""
        return [self._row]

    def show(self, view: JobView) -> Updates:
        """Show the buttons from the training's first step to its end."""
        return {self._row: gr.update(visible=bool(view.all(Begun)) and view.state == "running")}

    def _ask(self, what: str, answer: str) -> None:
        running = [job for job in self.services.jobs.active("train") if view_of(job).all(Begun)]
        if not running:
            inform("No training is running.")
            return
        run = view_of(running[0]).all(Begun)[-1].name
        RunRequests(self.services.workspace.place("runs", run)).ask(what)
        inform(answer)
