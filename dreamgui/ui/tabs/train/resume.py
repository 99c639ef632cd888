"""Row of resumable runs, each from any of its checkpoints, for more steps too."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.config import JobConfig, TrainJob
from dreamgui.errors import DreamError, UnknownName
from dreamgui.services import Services, gpu_count
from dreamgui.training.resumable import kept_steps, resumable
from dreamgui.ui.parts.form import make_config
from dreamgui.ui.parts.session import QUIET, as_ui_error, owner_of
from dreamgui.ui.parts.watch import Updates


class Resume:
    """Runs that can go on from one of their checkpoints."""

    def __init__(self, services: Services) -> None:
        self.services = services
        with gr.Row(visible=False, elem_id="train-resume-row", elem_classes="dg-buttons") as self._row:
            self._run = gr.Dropdown(label="Run to resume", elem_id="train-resume-run", scale=3, min_width=140)
            self._step = gr.Dropdown(label="From step", elem_id="train-resume-step", scale=1, min_width=90)
            self._until = gr.Number(label="To step", elem_id="train-resume-until", scale=1, min_width=90)
            self._button = gr.Button("Resume", elem_id="train-resume-start", scale=1, min_width=90)
        self._run.input(self._of, self._run, [self._step, self._until], **QUIET)
        self._step.input(self._end, [self._run, self._step], self._until, **QUIET)
        self._button.click(self._resume, [self._run, self._step, self._until], **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [self._row, self._run, self._step, self._until]

    def show(self) -> Updates:
        """Offer the resumable runs, with the newest chosen."""
        runs = [card.name for card in resumable(self.services.workspace, self.services.catalog)]
        chosen = runs[-1] if runs else None
        return {
            self._row: gr.update(visible=bool(runs)),
            self._run: gr.update(choices=runs, value=chosen),
            **self._of(chosen),
        }

    def _of(self, run: str | None) -> Updates:
        """Return updates with a run's checkpoints, the last one chosen, and the step to train to."""
        steps = kept_steps(self.services.workspace.place("runs", run)) if run else []
        last = steps[-1] if steps else None
        return {
            self._step: gr.update(choices=steps, value=last),
            self._until: gr.update(value=self._end(run, last)),
        }

    def _end(self, run: str | None, step: int | None) -> int | str:
        """Return the step that a run was meant to end at, or twice as many where the checkpoint is at that end."""
        try:
            planned = int(self.services.catalog.run(run).job.get("steps") or 0) if run else 0
        except DreamError:
            planned = 0
        return planned * 2 if planned and planned <= (step or 0) else planned or ""

    def _resume(self, run: str | None, step: int | None, until: float | None, request: gr.Request) -> None:
        config = as_ui_error(lambda: self._config(run or "", step, until))
        as_ui_error(lambda: self.services.jobs.submit(config, owner_of(request), behind=True))

    def _config(self, run: str, step: int | None = None, until: float | None = None) -> JobConfig:
        return resumed_job(self.services, run, step, until)


def resumed_job(
    services: Services, run: str, step: int | None = None, until: float | None = None
) -> JobConfig:
    """Return the job that names the run and leaves its settings unchanged but for the number of steps.

    Args:
        step: the checkpoint to go on from; the last one unless given.
        until: the step to train to; that of the run's settings unless given.

    Raises:
        UnknownName: no run is named, or there is none of this name.
        Damaged: its card can't be read.
    """
    if not run:
        raise UnknownName("No run was chosen.", "Choose the run to resume.")
    job: dict[str, Any] = {"run": run, "resume": True, "resume_from": step}
    settings = services.catalog.run(run).job
    if until not in (None, "", settings.get("steps")):
        job["steps"] = until
    # The number of processes doesn't change the result, and with one GPU the page doesn't show the field.
    if settings.get("processes", 1) > gpu_count():
        job |= {"processes": 1, "shard": False}
    return make_config(TrainJob, job)
