"""Hyper-parameter sweep: ranks by learning rates, optionally the UNet, and their queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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
from dreamgui.ui.parts.pictures import THUMB_PX, gallery
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.stream import JobView, view_of
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.ui.results.best import best_of
from dreamgui.ui.results.report_data import download_update
from dreamgui.ui.tabs.to_compare import leads_to_compare

IDLE = "Trains each rank at each learning rate, with the settings above and one seed."
PICTURES_A_ROW, MOST_COMPARED = 5, 3
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
        self.panel = RunPanel(services, "sweep", "sweep", IDLE)
        with gr.Accordion("Hyper-parameter sweep", open=False, elem_id="sweep-section"):
            with gr.Row():
                self.form.show("ranks", lines=1, min_width=120)
                self.form.show("learning_rates", lines=1, min_width=120)
            self.form.show("with_unet")
            self.form.groups(skip=tuple(name for name in SweepJob.model_fields if name not in OWN))
            self.panel.place_buttons("Start sweep")
            gr.HTML(f'<p class="dg-line">{IDLE}</p>')
        count = len(training.inputs)

        def read(*values: Any) -> JobConfig:
            shared = training.values(*values[:count])
            wanted = {name: value for name, value in shared.items() if name in SweepJob.model_fields}
            return make_config(SweepJob, {**wanted, **self.form.values(*values[count:])})

        self.panel.runs(self.form, read, [*training.inputs, *self.form.inputs])

    def place_results(self) -> None:
        """Place the card, the table of trainings with the buttons that change their order, and the pictures."""
        with gr.Column(visible=False, elem_id="sweep-results") as self.results:
            self.panel.place_progress()
            with gr.Row(visible=False, elem_id="sweep-next", elem_classes="dg-buttons") as self._next:
                self.best = gr.State([])
                self.compare = gr.Button(
                    "Next: compare the best", size="sm", variant="primary", elem_id="sweep-to-compare"
                )
                self._download = gr.DownloadButton(
                    "Download report (zip)", size="sm", elem_id="sweep-download"
                )
            self._table = gr.HTML(elem_id="sweep-table")
            with gr.Row(elem_classes="dg-buttons"):
                self._run = gr.Dropdown(label="Training", elem_id="sweep-run", scale=3, min_width=160)
                earlier = gr.Button("Earlier", elem_id="sweep-earlier", size="sm", min_width=80)
                later = gr.Button("Later", elem_id="sweep-later", size="sm", min_width=80)
                skip = gr.Button("Skip", elem_id="sweep-skip", size="sm", min_width=80)
                retry = gr.Button("Try again", elem_id="sweep-retry", size="sm", min_width=80)
            self._pictures = gr.Gallery(
                show_label=False,
                elem_id="sweep-pictures",
                columns=PICTURES_A_ROW,
                object_fit="contain",
                height="auto",
                interactive=False,
                visible=False,
            )
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
            updates = self.panel.updates(view) | self.placed()
            if view.news(Begun, Score, Note) or view.ending:
                updates |= self._show(view)
            if view.news(Score):
                updates[self._pictures] = self._seen(view)
            if view.new or view.ending:
                updates |= self._end(view)
            return updates

        shown = [self._table, self._run, self._pictures, self._next, self.best, self._download]
        watch.attach("sweep", render, [*self.panel.outputs, self.results, *shown])

    def placed(self) -> Updates:
        """Return an update that shows the sweep above the training while it runs, and until a training follows it."""
        jobs = self.services.jobs
        newest = jobs.latest("sweep", "train")
        there = bool(jobs.active("sweep")) or (newest is not None and newest.kind == "sweep")
        return {self.results: gr.update(visible=there)}

    def goes_to_compare(self, form: Form, tabs: gr.Tabs) -> None:
        """Let "Next" choose the best trainings beside their base in Compare, and open that tab."""
        leads_to_compare(self.services, self.compare.click, self.best, form, tabs)

    def _show(self, view: JobView) -> Updates:
        queue = self._queue(view)
        runs = [point.run for point in queue.points()] if queue else []
        return {
            self._table: self._rows(view),
            self._run: gr.update(choices=[(_short(run, view), run) for run in runs]),
        }

    def _seen(self, view: JobView) -> Any:
        """Return an update with the pictures of each measured training, a row each."""
        begun, job = view.all(Begun), view.job.config if view.job else None
        prompts = len(job.prompts) if isinstance(job, SweepJob) else 0
        folder = self.services.workspace.place("reports", begun[0].name) / "images" if begun else Path()
        runs = dict.fromkeys(score.model for score in view.all(Score))
        files = ((folder / f"{run}-{n}.png", _short(run, view)) for run in runs for n in range(prompts))
        pictures = gallery(files, THUMB_PX)
        return gr.update(value=pictures, visible=bool(pictures), columns=max(1, min(prompts, PICTURES_A_ROW)))

    def _end(self, view: JobView) -> Updates:
        best = best_of({score.model: score.values for score in view.all(Score)}) if view.ending else []
        there = [run for run in best if run in self.services.workspace.names("runs")]
        return {
            self._next: gr.update(visible=bool(there)),
            self.best: there[:MOST_COMPARED],
            self._download: download_update(self.services.workspace, view),
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
