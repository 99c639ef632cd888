"""Queue of all jobs below the page's head: what runs, what waits, their order, cancel, and try again."""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import Any

import gradio as gr

from dreamgui.jobs.job import Job
from dreamgui.services import Services
from dreamgui.ui.parts.session import QUIET, as_ui_error, owner_of

UNFINISHED_SHOWN = 2
TOLD = ("run", "dataset", "model", "models", "source", "prompt", "report")
"""Fields that tell one job from another of its kind, the first two of them are shown."""
_PRESS = """element.addEventListener('click', event => {
  const button = event.target.closest('[data-queue]');
  if (button) trigger('select', {index: 0, value: button.dataset.queue});
});"""


class QueuePanel:
    """List that is visible while jobs wait or have failed.

    Attributes:
        list: the HTML; a watch keeps it up to date.
    """

    def __init__(self, services: Services, detailed: bool) -> None:
        """Place the list. Only ``detailed`` ones tell names and prompts, which strangers shouldn't read."""
        self._services, self._detailed = services, detailed
        self.list = gr.HTML(elem_id="queue", js_on_load=_PRESS)
        self.list.select(self._press, None, None, **QUIET)

    def html(self) -> str:
        """Return the list as HTML, "" while nothing waits and nothing has failed."""
        jobs = self._services.jobs
        active = jobs.active()
        unfinished = list(islice(jobs.unfinished(), UNFINISHED_SHOWN))
        if len(active) < 2 and not any(job.state == "failed" for job in unfinished):
            return ""
        rows = [self._row(job, number) for number, job in enumerate(active)]
        rows += [self._again(job) for job in unfinished]
        return f'<div class="dg-card"><ul class="dg-queue">{"".join(rows)}</ul></div>'

    def _row(self, job: Job, number: int) -> str:
        if job.state == "running":
            return self._line(job, "Running", [("cancel", "Stop")])
        earlier = [("earlier", "Earlier")] if number > 1 and job.ours else []
        return self._line(
            job, f"Waiting {number}" if number else "Starting", [*earlier, ("cancel", "Cancel")]
        )

    def _again(self, job: Job) -> str:
        return self._line(job, "Failed" if job.state == "failed" else "Stopped", [("again", "Try again")])

    def _line(self, job: Job, state: str, actions: list[tuple[str, str]]) -> str:
        what = job.config.noun
        buttons = "".join(
            f'<button type="button" class="dg-chip" data-queue="{action}/{escape(job.id)}" '
            f'aria-label="{label}: {escape(what)}">{label}</button>'
            for action, label in actions
        )
        kind = {"Failed": "dg-failed", "Running": "dg-running"}.get(state, "")
        pill = f'<div class="{kind}"><b class="dg-pill">{state}</b></div>'
        return f"<li>{pill}<b>{escape(what)}</b><span>{escape(self._details(job))}</span>{buttons}</li>"

    def _details(self, job: Job) -> str:
        """Return what tells the job from others of its kind, in at most 80 letters."""
        if not self._detailed:
            return ""
        given: dict[str, Any] = job.config.model_dump(mode="json", exclude_unset=True)
        values = [given[name] for name in TOLD if given.get(name)]
        texts = [", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values]
        return " · ".join(texts[:2])[:80]

    def _press(self, request: gr.Request, pressed: gr.SelectData) -> None:
        action, _, name = str(pressed.value).partition("/")
        jobs = self._services.jobs
        job = as_ui_error(lambda: jobs.get(name))
        if action == "cancel":
            job.stop()
        elif action == "earlier":
            jobs.earlier(job)
        elif action == "again":
            as_ui_error(lambda: jobs.submit(job.config, owner_of(request), behind=True))
