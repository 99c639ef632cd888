"""After a training: its file for other programs, and the ways on to Generate, Compare and the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.config import ExportJob
from dreamgui.errors import DreamError
from dreamgui.events import Saved
from dreamgui.models.catalog.cards import RunCard
from dreamgui.services import Services
from dreamgui.sizes import file_size
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.markup import facts
from dreamgui.ui.parts.pictures import offered
from dreamgui.ui.parts.session import QUIET, as_ui_error, owner_of
from dreamgui.ui.parts.stream import JobView, duration, view_of
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.ui.tabs.to_compare import leads_to_compare
from dreamgui.ui.tabs.to_workshop import leads_to_workshop
from dreamgui.workspace import EXPORTS

LORA_LABEL = "Download LoRA for A1111 / ComfyUI"
UNET_LABEL = "Download as a single file"
PREPARING = "Preparing the file: reading it back and checking it with a picture."


_AWAIT = "() => globalThis.dreamgui?.download('#train-file')"
"""Script of the browser: one press prepares the file and, as soon as it is there, downloads it."""
PICTURES = 5


class DoneActions:
    """A row of buttons for the run that a training has saved.

    Attributes:
        run: the run's name, as text.
        generate, compare, push: buttons that the page connects with their tabs.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self.run = gr.State("")
        with gr.Row(visible=False, elem_id="train-next", elem_classes="dg-buttons") as self._row:
            self._prepare = gr.Button(LORA_LABEL, size="sm", elem_id="train-export", min_width=240)
            self._file = gr.DownloadButton(
                "Save the file",
                size="sm",
                variant="primary",
                elem_id="train-file",
                visible=False,
                min_width=240,
            )
            self.generate = gr.Button("Next: generate", size="sm", elem_id="train-to-generate", min_width=110)
            self.compare = gr.Button("Next: compare", size="sm", elem_id="train-to-compare", min_width=110)
            self.push = gr.Button("Push to the Hub", size="sm", elem_id="train-to-push", min_width=110)
        self._prepare.click(self._export, self.run, [self._prepare, self._file], **QUIET)
        self._prepare.click(None, js=_AWAIT, **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [self._row, self.run, self._prepare, self._file]

    def show(self, view: JobView) -> Updates:
        """Show the row for the run that was saved last. Hide it without one."""
        run = _saved_run(view)
        try:
            card = self._services.catalog.run(run) if run and view.ending else None
        except DreamError:
            card = None
        if card is None:
            return {self._row: gr.update(visible=False), self.run: ""}
        return {self._row: gr.update(visible=True), self.run: card.name, **self._file_of(card)}

    def attach(self, watch: Watch) -> None:
        """Follow exports, so that a finished one is offered."""

        def render(view: JobView) -> Updates:
            job = view.job.config if view.job else None
            run = _saved_run(view_of(self._services.jobs.current("train")))
            # gradio takes an empty dict for a value.
            unchanged: Updates = {self._prepare: gr.skip()}
            if not isinstance(job, ExportJob) or job.model != run:
                return unchanged
            try:
                return self._file_of(self._services.catalog.run(run), preparing=view.ending is None)
            except DreamError:
                return unchanged

        watch.attach("export", render, [self._prepare, self._file])

    def goes_to_generate(self, form: Form, tabs: gr.Tabs) -> None:
        """Let "Generate" choose the run there, and five pictures where the number is as it was, and open the tab."""
        usual = form.model.model_fields["count"].default

        def go(name: str, count: int) -> list[Any]:
            return form.prefill({"model": name} | ({"count": PICTURES} if count == usual else {}))

        answers(self.generate.click, go, [self.run, form["count"]], form.inputs)
        self.generate.click(lambda: gr.Tabs(selected="generate"), None, tabs, **QUIET)

    def goes_to_compare(self, form: Form, tabs: gr.Tabs) -> None:
        """Let "Compare" choose base model, run and its dataset there, and open the tab."""
        leads_to_compare(self._services, self.compare.click, self.run, form, tabs)

    def goes_to_push(self, form: Form, tabs: gr.Tabs) -> None:
        """Let "Push to the Hub" choose the run in that form, and open it."""
        leads_to_workshop(self.push.click, self.run, form, tabs)

    def _file_of(self, card: RunCard, preparing: bool = False) -> Updates:
        """Offer the run's file where it is written, else the button that writes it."""
        file = self._target(card)
        there = file.is_file() and not preparing
        label = PREPARING if preparing else LORA_LABEL if card.kind == "lora" else UNET_LABEL
        return {
            self._prepare: gr.update(value=label, interactive=not preparing, visible=not there),
            self._file: gr.update(value=offered(file) if there else None, visible=there),
        }

    def _target(self, card: RunCard) -> Path:
        ending = "-lora-kohya" if card.kind == "lora" else ""
        return self._services.workspace.root / EXPORTS / f"{card.name}{ending}.safetensors"

    def _export(self, name: str, request: gr.Request) -> Updates:
        card = as_ui_error(lambda: self._services.catalog.run(name))
        target = self._target(card)
        if not target.is_file():
            form = "lora-kohya" if card.kind == "lora" else "single-file"
            job = ExportJob(model=name, format=form, out=target)
            as_ui_error(lambda: self._services.jobs.submit(job, owner_of(request), behind=True))
            return self._file_of(card, preparing=True)
        return self._file_of(card)


def _saved_run(view: JobView) -> str:
    """Return the name of the run that a training saved, or "" without one."""
    return next((item.name for item in reversed(view.all(Saved)) if item.what == "run"), "")


def run_card(services: Services, view: JobView) -> str:
    """Return the facts of the finished run as HTML."""
    run = _saved_run(view)
    if not run:
        return ""
    try:
        card = services.catalog.run(run)
    except DreamError:
        return ""
    what = "Whole UNet" if card.kind == "unet" else f"LoRA of rank {card.rank}, alpha {card.alpha:g}"
    return facts(
        [
            ("Run", card.name),
            ("Trained", f"{what} on {card.base}"),
            (
                "Steps",
                f"{card.steps} at a learning rate of {card.learning_rate:g}, in {duration(card.seconds)}",
            ),
            ("File", file_size(card.file_bytes)),
        ]
    )
