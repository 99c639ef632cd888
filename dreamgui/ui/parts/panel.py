"""Shared by every tab: a start button, a stop button, and a card with the job's state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from dreamgui.config import JobConfig
from dreamgui.services import Services
from dreamgui.ui.parts.fault_line import FaultLine, fault_lines
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.markup import progress_card
from dreamgui.ui.parts.session import QUIET, as_ui_error, owner_of
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.watch import Updates

_TO_PROGRESS = "() => globalThis.dreamgui?.began('%s')"
QUEUE_LABEL = "Add to the queue"


class RunPanel:
    """Buttons and progress of one kind of job.

    Attributes:
        start: the primary button, ``PREFIX-start``.
        stop: shown while a job of this kind runs or waits, ``PREFIX-stop``.
        faults: line below the buttons, ``PREFIX-faults``.
        progress: the card, ``PREFIX-progress``.
    """

    def __init__(self, services: Services, kind: str, prefix: str, idle: str, advice: str = "") -> None:
        self.services = services
        self.kind = kind
        self.prefix = prefix
        self._idle = idle
        self._advice = advice
        self._label = ""
        self.start: gr.Button
        self.stop: gr.Button
        self.faults: FaultLine
        self.progress: gr.HTML

    def place_buttons(self, label: str, start_id: str = "", stop_label: str = "Stop") -> None:
        """Place the two buttons."""
        with gr.Row(elem_classes="dg-buttons"):
            self._label = label
            start_id = start_id or f"{self.prefix}-start"
            self.start = gr.Button(label, variant="primary", elem_id=start_id, scale=3, min_width=120)
            self.stop = gr.Button(
                stop_label, elem_id=f"{self.prefix}-stop", visible=False, scale=1, min_width=130
            )
        self.faults = FaultLine(self.prefix)
        self.stop.click(self._stop, **QUIET)

    def place_progress(self) -> None:
        """Place the card."""
        self.progress = gr.HTML(
            progress_card(JobView(), self.services.jobs, self._idle), elem_id=f"{self.prefix}-progress"
        )

    def runs(
        self,
        form: Form,
        read: Callable[..., JobConfig] | None = None,
        inputs: Sequence[Component] | None = None,
        raw: bool = False,
    ) -> None:
        """Let the start button submit the form's job.

        Args:
            form: source of values and their checks.
            read: makes the config from the inputs' values; ``form.read`` unless given.
            inputs: the widgets; ``form.inputs`` unless given.
            raw: pass values unopened, so that an uploaded picture is checked before anything opens it.
        """
        make = read or form.read

        def start(request: gr.Request, *values: Any) -> str:
            if inputs is None and (faults := form.faults(*values)):
                return fault_lines(form, faults)
            as_ui_error(lambda: self.services.jobs.submit(make(*values), owner_of(request), behind=True))
            return ""

        widgets = list(inputs or form.inputs)
        pressed = self.start.click(start, widgets, self.faults.line, preprocess=not raw, **QUIET)
        pressed.success(None, js=_TO_PROGRESS % self.prefix, **QUIET)
        if inputs is None:
            self.faults.follow(form)

    def updates(self, view: JobView) -> Updates:
        """Return updates of the card and the buttons for this view. While a job is active, another one is queued."""
        active = view.state in ("waiting", "running")
        return {
            self.start: gr.update(value=QUEUE_LABEL if active else self._label),
            self.progress: progress_card(view, self.services.jobs, self._idle, self._advice),
            self.stop: gr.update(visible=active, interactive=not view.stopping),
        }

    @property
    def outputs(self) -> list[Component]:
        """Components that :meth:`updates` changes."""
        return [self.start, self.progress, self.stop]

    def _stop(self) -> None:
        job = self.services.jobs.current(self.kind)
        if job is None or job.ended:
            inform("Nothing is running.")
        else:
            job.stop()
