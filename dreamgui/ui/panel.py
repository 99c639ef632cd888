"""What every tab has: a start button, a stop button, and a card that says how the job stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from dreamgui.config import JobConfig
from dreamgui.services import Services
from dreamgui.ui.form import Form
from dreamgui.ui.markup import progress_card
from dreamgui.ui.session import QUIET, owner_of, told
from dreamgui.ui.stream import JobView
from dreamgui.ui.watch import Updates


class RunPanel:
    """Buttons and progress of one kind of job.

    Attributes:
        start: the primary button, ``PREFIX-start``.
        stop: shown while a job of this kind runs or waits, ``PREFIX-stop``.
        progress: the card, ``PREFIX-progress``.
    """

    def __init__(self, services: Services, kind: str, prefix: str, idle: str, advice: str = "") -> None:
        self.services = services
        self.kind = kind
        self.prefix = prefix
        self._idle = idle
        self._advice = advice
        self.start: gr.Button
        self.stop: gr.Button
        self.progress: gr.HTML

    def place_buttons(self, label: str, start_id: str = "", stop_label: str = "Stop") -> None:
        """Put the two buttons here."""
        with gr.Row(elem_classes="dg-buttons"):
            start_id = start_id or f"{self.prefix}-start"
            self.start = gr.Button(label, variant="primary", elem_id=start_id, scale=3, min_width=120)
            self.stop = gr.Button(
                stop_label, elem_id=f"{self.prefix}-stop", visible=False, scale=1, min_width=130
            )
        self.stop.click(self._stop, **QUIET)

    def place_progress(self) -> None:
        """Put the card here."""
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
            form: where values and their checks come from.
            read: makes the config from the inputs' values; ``form.read`` unless given.
            inputs: the widgets; ``form.inputs`` unless given.
            raw: take values as they come: gradio doesn't open an uploaded picture before we have checked it.
        """
        make = read or form.read

        def start(request: gr.Request, *values: Any) -> None:
            told(lambda: self.services.jobs.submit(make(*values), owner_of(request)))

        self.start.click(
            start,
            list(inputs or form.inputs),
            validator=None if inputs else form.check,
            preprocess=not raw,
            **QUIET,
        )

    def updates(self, view: JobView) -> Updates:
        """What the card and the stop button show for this view."""
        active = view.state in ("waiting", "running")
        return {
            self.progress: progress_card(view, self.services.jobs, self._idle, self._advice),
            self.stop: gr.update(visible=active, interactive=not view.stopping),
        }

    @property
    def outputs(self) -> list[Component]:
        """The components that :meth:`updates` speaks of."""
        return [self.progress, self.stop]

    def _stop(self) -> None:
        active = self.services.jobs.active(self.kind)
        for job in active:
            job.stop()
        if not active:
            gr.Info("Nothing is running here any more.")
