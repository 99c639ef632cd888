"""Compare tab: the same prompts and seeds through several models, side by side, with measured likeness."""

from __future__ import annotations

import gradio as gr

from dreamgui.config import CompareJob
from dreamgui.events import Cell, Saved, Score
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.overview import Overview
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.stream import JobView, view_of
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.ui.results.best import best_of
from dreamgui.ui.results.grid import TEMPLATE, grid
from dreamgui.ui.results.report_data import download_update
from dreamgui.ui.tabs.compare.enlarged import PRESS, Enlarged
from dreamgui.ui.tabs.compare.figures import figures_html
from dreamgui.ui.tabs.compare.keep import Keep
from dreamgui.ui.tabs.compare.presets import presets
from dreamgui.ui.tabs.compare.slider import Slider
from dreamgui.ui.tabs.compare.two_reports import TwoReports
from dreamgui.ui.tabs.followed_run import follow_run
from dreamgui.ui.tabs.next_step import NextStep

OF_THE_SERVER = ("recogniser", "clip")
"""Fields that name a place of the machine; strangers aren't asked for one."""
IDLE = "Choose a base model and its trained runs, then press Compare."
ADVICE = "The report is in the Library."


def create_compare_tab(services: Services, watch: Watch, local: bool = True) -> tuple[Form, NextStep]:
    """Create the tab and return its form, whose choices are refreshed later, and its way on."""
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
            onward = NextStep(
                "Next: generate with the best",
                "compare-next",
                "report",
                result=lambda view: best(services, view),
            )
            table = gr.HTML(None, html_template=TEMPLATE, elem_id="compare-grid", js_on_load=PRESS)
            Enlarged(table, lambda: view_of(services.jobs.current("compare")))
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
            updates |= slider.show(view) | keep.show(view) | onward.show(view)
        if view.news(Saved):
            updates[download] = download_update(services.workspace, view)
        return updates

    watch.attach(
        "compare",
        render,
        [*panel.outputs, *onward.outputs, table, figures, *slider.outputs, *keep.outputs, download],
    )
    return form, onward


def best(services: Services, view: JobView) -> str:
    """Return the run of a comparison with the highest likeness, "" where none was measured or it is no model here."""
    figures = {
        score.model: score.values for score in view.all(Score) if score.values.get("likeness") is not None
    }
    known = set(services.catalog.all_names()) - set(services.catalog.bases()) if figures else set()
    return next((name for name in best_of(figures) if name in known), "")
