"""Hyper-parameter sweep: ranks by learning rates, optionally the UNet, and their queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from dreamgui.config import JobConfig, SweepJob
from dreamgui.events import Begun, Loss, Note, Score
from dreamgui.services import Services
from dreamgui.sizes import file_size
from dreamgui.training.sweep_queue import SweepQueue
from dreamgui.ui.parts.form import Form, make_config
from dreamgui.ui.parts.markup import duration, table
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.stream import JobView, view_of
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.watch import Updates, Watch

IDLE = "Trains each rank at each learning rate, with the settings above and one seed."
ADVICE = "Go to Compare to see the best ones side by side."
OWN = ("ranks", "learning_rates", "with_unet", "unet_learning_rate", "prompts", "report")
HEADERS = ("Run", "", "Time", "File", "Loss", "Validation", "Likeness", "Faces")
STATES = {
    "waiting": "waiting",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "skipped": "skipped",
}


class Sweep:
    """Closed accordion of the Train tab. Shared settings come from the form of a single training."""

    def __init__(self, services: Services, training: Form, local: bool) -> None:
        self.services = services
        self.form = Form(SweepJob, services, "sweep", local)
        self.panel = RunPanel(services, "sweep", "sweep", IDLE, ADVICE)
        with gr.Accordion("Hyper-parameter sweep", open=False, elem_id="sweep-section"):
            with gr.Row():
                self.form.show("ranks", lines=1, min_width=120)
                self.form.show("learning_rates", lines=1, min_width=120)
            self.form.show("with_unet")
            self.form.groups(skip=tuple(name for name in SweepJob.model_fields if name not in OWN))
            self.panel.place_buttons("Start sweep")
            self.panel.place_progress()
        count = len(training.inputs)

        def read(*values: Any) -> JobConfig:
            shared = training.values(*values[:count])
            wanted = {name: value for name, value in shared.items() if name in SweepJob.model_fields}
            return make_config(SweepJob, {**wanted, **self.form.values(*values[count:])})

        self.panel.runs(self.form, read, [*training.inputs, *self.form.inputs])

    def place_results(self) -> None:
        """Place the table of trainings and the buttons that change their order."""
        with gr.Column(visible=False, elem_id="sweep-results") as self._results:
            self._table = gr.HTML(elem_id="sweep-table")
            with gr.Row(elem_classes="dg-buttons"):
                self._run = gr.Dropdown(label="Training", elem_id="sweep-run", scale=3, min_width=160)
                earlier = gr.Button("Earlier", elem_id="sweep-earlier", size="sm", min_width=80)
                later = gr.Button("Later", elem_id="sweep-later", size="sm", min_width=80)
                skip = gr.Button("Skip", elem_id="sweep-skip", size="sm", min_width=80)
                retry = gr.Button("Try again", elem_id="sweep-retry", size="sm", min_width=80)
        changes: dict[gr.Button, Callable[[SweepQueue, str], None]] = {
            earlier: lambda queue, run: queue.move(run, -1),
            later: lambda queue, run: queue.move(run, 1),
            skip: lambda queue, run: queue.skip(run),
            retry: lambda queue, run: queue.retry(run),
        }
        for button, change in changes.items():
            button.click(self._changer(change), self._run, self._table, **QUIET)

    def attach(self, watch: Watch) -> None:
        """Watch the job."""

        def render(view: JobView) -> Updates:
            updates = self.panel.updates(view)
            if view.news(Begun, Score, Note) or view.ending:
                updates |= self._show(view)
            return updates

        watch.attach("sweep", render, [*self.panel.outputs, self._results, self._table, self._run])

    def _show(self, view: JobView) -> Updates:
        queue = self._queue(view)
        runs = [point.run for point in queue.points()] if queue else []
        return {
            self._results: gr.update(visible=bool(runs)),
            self._table: self._rows(view),
            self._run: gr.update(choices=[(_short(run, view), run) for run in runs]),
        }

    def _changer(self, change: Callable[[SweepQueue, str], None]) -> Callable[[str | None], str]:
        def changed(run: str | None) -> str:
            view = view_of(self.services.jobs.current("sweep"))
            queue = self._queue(view)
            if run and queue:
                change(queue, run)
            else:
                inform("Choose a training first.")
            return self._rows(view)

        return changed

    def _queue(self, view: JobView) -> SweepQueue | None:
        """Return the queue of the sweep. Its Begun event comes before those of its trainings."""
        begun = view.all(Begun)
        return SweepQueue(self.services.workspace.place("reports", begun[0].name)) if begun else None

    def _rows(self, view: JobView) -> str:
        """Return each training's state and figures as a table."""
        queue = self._queue(view)
        figures = {score.model: score.values for score in view.all(Score)}
        steps = view.last(Loss)
        rows = []
        for run, state in queue.points() if queue else []:
            shown = STATES[state]
            if state == "running" and steps and not view.ending:
                shown = f"step {steps.step}"
            rows.append((_short(run, view), shown, *_figures(_of(figures, run))))
        return table(HEADERS, rows)


def _short(run: str, view: JobView) -> str:
    """Return a training's name without the sweep's prefix: r8-lr0.001."""
    begun = view.all(Begun)
    return run.removeprefix(f"{begun[0].name}-") if begun else run


def _of(figures: dict[str, dict[str, float | None]], run: str) -> dict[str, float | None]:
    """Return a training's figures. A run with a number added to its name is found by its prefix."""
    return figures.get(run) or next((v for name, v in figures.items() if name.startswith(f"{run}-")), {})


def _figures(values: dict[str, float | None]) -> tuple[str, ...]:
    def shown(name: str, form: Callable[[float], str]) -> str:
        value = values.get(name)
        return "-" if value is None else form(value)

    return (
        shown("seconds", duration),
        shown("file_bytes", lambda size: file_size(int(size))),
        shown("loss", "{:.4f}".format),
        shown("validation", "{:.4f}".format),
        shown("likeness", "{:.2f}".format),
        shown("faces_found", "{:.0%}".format),
    )
