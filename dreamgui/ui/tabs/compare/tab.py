"""Compare tab: the same prompts and seeds through several models, side by side, with measured likeness."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.config import CompareJob
from dreamgui.events import Cell, Saved, Score
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.overview import Overview
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.pictures import zipped
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.ui.results.grid import TEMPLATE, grid
from dreamgui.ui.tabs.compare.figures import figures_html
from dreamgui.ui.tabs.compare.keep import Keep
from dreamgui.ui.tabs.compare.presets import presets
from dreamgui.ui.tabs.compare.slider import Slider
from dreamgui.ui.tabs.compare.two_reports import TwoReports
from dreamgui.ui.tabs.followed_run import follow_run

OF_THE_SERVER = ("recogniser", "clip")
"""Fields that name a place of the machine; strangers aren't asked for one."""
IDLE = "Choose a base model and its trained runs, then press Compare."
ADVICE = "Download the report, or go to ControlNet."


def create_compare_tab(services: Services, watch: Watch, local: bool = True) -> Form:
    """Create the tab and return its form, whose choices are refreshed later."""
    form = Form(CompareJob, services, "compare")
    panel = RunPanel(services, "compare", "compare", IDLE, ADVICE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            form.show("models")
            form.show("prompts")
            form.show("dataset")
            with gr.Row():
                form.show("seed", min_width=140)
                form.show("seeds", min_width=140)
            presets(services, form)
            panel.place_buttons("Compare")
            overview = Overview(form, ("prompts",))
            overview.place_filter()
            form.groups(skip=("preset", *(() if local else OF_THE_SERVER)), count=False)
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            table = gr.HTML(None, html_template=TEMPLATE, elem_id="compare-grid", js_on_load=None)
            slider = Slider(services)
            figures = gr.HTML("", elem_id="compare-figures")
            keep = Keep(services, form, watch)
            TwoReports(services)
            download = gr.DownloadButton(
                "Download report (zip)", visible=False, elem_id="compare-download", size="sm"
            )
    panel.runs(form)
    overview.follow()
    follow_run(services, form)

    def render(view: JobView) -> Updates:
        updates = panel.updates(view)
        if view.news(Cell, Score):
            updates[table] = grid(view)
        if view.news(Score) or view.new:
            updates[figures] = figures_html(view)
        if view.new or view.ending:
            updates |= slider.show(view) | keep.show(view)
        if view.news(Saved):
            updates[download] = download_update(services, view)
        return updates

    watch.attach(
        "compare", render, [*panel.outputs, table, figures, *slider.outputs, *keep.outputs, download]
    )
    return form


def download_update(services: Services, view: JobView) -> Any:
    """Return an update of the download button: the saved report as a zip file, hidden without one."""
    report = next((saved.name for saved in view.all(Saved) if saved.what == "report"), "")
    if report not in services.workspace.names("reports"):
        return gr.update(visible=False)
    return gr.update(visible=True, value=zipped(services.workspace.find("reports", report)))
