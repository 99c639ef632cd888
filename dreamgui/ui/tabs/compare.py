"""Compare: the same prompts and seeds through several models, side by side and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.config import CompareJob
from dreamgui.events import Cell, Saved, Score
from dreamgui.services import Services
from dreamgui.ui.form import Form
from dreamgui.ui.grid import TEMPLATE, grid, short_prompts
from dreamgui.ui.panel import RunPanel
from dreamgui.ui.pictures import pair_of_equal_size, zipped
from dreamgui.ui.session import QUIET
from dreamgui.ui.stream import JobView, view_of
from dreamgui.ui.watch import Updates, Watch

IDLE = "Choose a base model and what you trained on it, and press Compare."
ADVICE = "Download the report, or lead a drawing by a picture in ControlNet."


def create_compare_tab(services: Services, watch: Watch) -> Form:
    """The tab's widgets and listeners; the form is returned so that its choices can be refreshed."""
    form = Form(CompareJob, services, "compare")
    panel = RunPanel(services, "compare", "compare", IDLE, ADVICE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            form.show("models")
            form.show("prompts")
            form.show("dataset")
            form.show("seed")
            panel.place_buttons("Compare")
            form.fold()
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            table = gr.HTML(None, html_template=TEMPLATE, elem_id="compare-grid", js_on_load=None)
            slider = Slider(services)
            download = gr.DownloadButton(
                "Download the report (zip)", visible=False, elem_id="compare-download", size="sm"
            )
    panel.runs(form)

    def render(view: JobView) -> Updates:
        updates = panel.updates(view)
        if view.news(Cell, Score):
            updates[table] = grid(view)
        if view.new or view.ending:
            updates |= slider.show(view)
        if view.news(Saved):
            updates[download] = download_update(services, view)
        return updates

    watch.attach("compare", render, [*panel.outputs, table, *slider.outputs, download])
    return form


class Slider:
    """Two models' pictures of one prompt, one over the other."""

    def __init__(self, services: Services) -> None:
        self.services = services
        with gr.Group(visible=False, elem_id="compare-pair") as self._group:
            with gr.Row():
                self._left = gr.Dropdown(label="Left", elem_id="compare-left", min_width=120)
                self._right = gr.Dropdown(label="Right", elem_id="compare-right", min_width=120)
                self._prompt = gr.Dropdown(label="Prompt", elem_id="compare-prompt", min_width=160)
            self._image = gr.ImageSlider(
                show_label=False,
                elem_id="compare-slider",
                type="pil",
                height=380,
                interactive=False,
                buttons=["fullscreen"],
            )
        chosen: list[Any] = [self._left, self._right, self._prompt]
        for dropdown in chosen:
            dropdown.input(self._slide, chosen, self._image, **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """The components that :meth:`show` speaks of."""
        return [self._group, self._left, self._right, self._prompt, self._image]

    def show(self, view: JobView) -> Updates:
        """Offer the models that drew the first prompt, once the comparison has ended."""
        job = view.job.config if view.job else None
        if not isinstance(job, CompareJob) or view.ending is None:
            return {self._group: gr.update(visible=False)}
        drawn = {(cell.model, cell.prompt) for cell in view.all(Cell)}
        ready = [model for model in dict.fromkeys(job.models) if (model, job.prompts[0]) in drawn]
        if len(ready) < 2:
            return {self._group: gr.update(visible=False)}
        prompts = list(zip(short_prompts(job.prompts), job.prompts, strict=True))
        return {
            self._group: gr.update(visible=True),
            self._left: gr.update(choices=ready, value=ready[0]),
            self._right: gr.update(choices=ready, value=ready[-1]),
            self._prompt: gr.update(choices=prompts, value=job.prompts[0]),
            self._image: self._pair(view, ready[0], ready[-1], job.prompts[0]),
        }

    def _slide(self, left: str, right: str, prompt: str) -> Any:
        return self._pair(view_of(self.services.jobs.latest("compare")), left, right, prompt)

    def _pair(self, view: JobView, left: str, right: str, prompt: str) -> Any:
        images = {(cell.model, cell.prompt): cell.image for cell in view.all(Cell)}
        one, two = images.get((left, prompt)), images.get((right, prompt))
        if not (isinstance(one, Path) and isinstance(two, Path) and one.is_file() and two.is_file()):
            return None
        return pair_of_equal_size(one, two)


def download_update(services: Services, view: JobView) -> Any:
    """The saved report as one zip file in gradio's cache; no button where there is none."""
    report = next((saved.name for saved in view.all(Saved) if saved.what == "report"), "")
    if report not in services.workspace.names("reports"):
        return gr.update(visible=False)
    return gr.update(visible=True, value=zipped(services.workspace.find("reports", report)))
