"""Several trainings from one plan, and their queue: ranks by learning rates, and the UNet beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from dreamgui.config import JobConfig, SweepJob
from dreamgui.events import Begun, Loss, Note, Score
from dreamgui.recipes.sweep_queue import SweepQueue
from dreamgui.services import Services
from dreamgui.ui.form import Form, make_config
from dreamgui.ui.markup import duration, file_size, table
from dreamgui.ui.panel import RunPanel
from dreamgui.ui.session import QUIET
from dreamgui.ui.stream import JobView, view_of
from dreamgui.ui.watch import Updates, Watch

IDLE = "Each rank is trained at each rate, with the settings above, the same data order and the same seed."
ADVICE = "Compare draws with the best ones side by side."
OWN = ("ranks", "learning_rates", "with_unet", "unet_learning_rate", "prompts", "report")
HEADERS = ("Run", "", "Time", "File", "Loss", "Held out", "Likeness", "Faces")
STATES = {
    "waiting": "waits",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "skipped": "skipped",
}


class Sweep:
    """A folded section of the Train tab; what it shares with a single training is taken from that form."""

    def __init__(self, services: Services, training: Form, local: bool) -> None:
        self.services = services
        self.form = Form(SweepJob, services, "sweep", local)
        self.panel = RunPanel(services, "sweep", "sweep", IDLE, ADVICE)
        with gr.Accordion("Several at once (sweep)", open=False, elem_id="sweep-section"):
            with gr.Row():
                self.form.show("ranks", lines=1, min_width=120)
                self.form.show("learning_rates", lines=1, min_width=120)
            self.form.show("with_unet")
            self.form.fold(skip=tuple(name for name in SweepJob.model_fields if name not in OWN))
            self.panel.place_buttons("Train them all")
            self.panel.place_progress()
        count = len(training.inputs)

        def read(*values: Any) -> JobConfig:
            shared = training.values(*values[:count])
            wanted = {name: value for name, value in shared.items() if name in SweepJob.model_fields}
            return make_config(SweepJob, {**wanted, **self.form.values(*values[count:])})

        self.panel.runs(self.form, read, [*training.inputs, *self.form.inputs])

    def place_results(self) -> None:
        """Put the table of trainings here, and the buttons that change their order."""
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
            view = view_of(self.services.jobs.latest("sweep"))
            queue = self._queue(view)
            if run and queue:
                change(queue, run)
            else:
                gr.Info("Choose one of the trainings first.")
            return self._rows(view)

        return changed

    def _queue(self, view: JobView) -> SweepQueue | None:
        """The queue of the sweep; its own beginning comes before those of its trainings."""
        begun = view.all(Begun)
        return SweepQueue(self.services.workspace.place("reports", begun[0].name)) if begun else None

    def _rows(self, view: JobView) -> str:
        """Each training's state and figures, as far as there are some."""
        queue = self._queue(view)
        figures = {score.model: score.values for score in view.all(Score)}
        steps = view.last(Loss)
        rows = []
        for run, state in queue.points() if queue else []:
            told = STATES[state]
            if state == "running" and steps and not view.ending:
                told = f"step {steps.step}"
            rows.append((_short(run, view), told, *_figures(_of(figures, run))))
        return table(HEADERS, rows)


def _short(run: str, view: JobView) -> str:
    """A training's name without the sweep's in front: r8-lr0.001."""
    begun = view.all(Begun)
    return run.removeprefix(f"{begun[0].name}-") if begun else run


def _of(figures: dict[str, dict[str, float | None]], run: str) -> dict[str, float | None]:
    """A training's figures; a run that had to take another number behind its name is found by its beginning."""
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
