"""Around a training: one step tried before it, and what can be asked of it while it runs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.config import JobConfig, PreflightJob
from dreamgui.events import Begun
from dreamgui.recipes.wishes import SAMPLE, SAVE, Wishes
from dreamgui.services import Services
from dreamgui.ui.form import Form, make_config
from dreamgui.ui.panel import RunPanel
from dreamgui.ui.session import QUIET
from dreamgui.ui.stream import JobView, view_of
from dreamgui.ui.watch import Updates, Watch

IDLE = "Says whether it fits into memory and on the disk, and how long it will take. Nothing is kept."


class Preflight:
    """A folded section: the settings above, tried for a few seconds."""

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
    """Two buttons that are there while a training runs."""

    def __init__(self, services: Services) -> None:
        self.services = services
        with gr.Row(visible=False, elem_id="train-live", elem_classes="dg-buttons") as self._row:
            sample = gr.Button("Sample now", elem_id="train-sample-now", size="sm", min_width=110)
            save = gr.Button("Save now", elem_id="train-save-now", size="sm", min_width=110)
        sample.click(lambda: self._ask(SAMPLE, "The samples come after this step."), **QUIET)
        save.click(lambda: self._ask(SAVE, "A checkpoint comes after this step."), **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """The component that :meth:`show` speaks of."""
        return [self._row]

    def show(self, view: JobView) -> Updates:
        """Shown from the training's first step to its end."""
        return {self._row: gr.update(visible=bool(view.all(Begun)) and view.state == "running")}

    def _ask(self, what: str, answer: str) -> None:
        running = [job for job in self.services.jobs.active("train") if view_of(job).all(Begun)]
        if not running:
            gr.Info("Nothing is being trained any more.")
            return
        run = view_of(running[0]).all(Begun)[-1].name
        Wishes(self.services.workspace.place("runs", run)).ask(what)
        gr.Info(answer)
