"""ControlNet tab: one prompt through several models, guided by the edges or the pose of a control image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.config import ControlJob
from dreamgui.errors import DreamError
from dreamgui.events import Cell, ControlMap, Saved
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.overview import Overview
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.toasts import warn
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.ui.results.grid import TEMPLATE
from dreamgui.ui.results.report_data import download_update
from dreamgui.ui.tabs.control.pose import PoseEditor
from dreamgui.ui.tabs.control.results import control_results, strength_grid
from dreamgui.ui.tabs.dataset.tab import demo_photographs
from dreamgui.ui.tabs.followed_run import follow_run

OF_THE_PICTURE = ("image", "prompt", "pose", "control", "canny_low", "canny_high")
IDLE = "Add a control image. Its edges or its pose guide the generated pictures."

BY_PATH = ("control_model", "second_model")
"""Fields that may name a file of this machine: only its own user sees them."""


WHOLE_FIGURE = "IMG_0423.jpg"
"""The demo's photograph of a whole figure: edges and pose are both found in it."""


def demo_figure() -> str:
    """Copy the demo's photograph of a whole figure to gradio's uploads and return its path."""
    return next(path for path in demo_photographs() if Path(path).name == WHOLE_FIGURE)


def create_control_tab(services: Services, watch: Watch, local: bool) -> Form:
    """Create the tab and return its form, whose choices are refreshed later."""
    form = Form(ControlJob, services, "control", local)
    panel = RunPanel(services, "control", "control", IDLE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            with gr.Row():
                image = gr.Image(
                    type="filepath",
                    sources=["upload", "clipboard"],
                    height=190,
                    min_width=140,
                    label="Control image",
                    elem_id="control-image",
                    buttons=[],
                )
                control_map = gr.Image(
                    height=190,
                    min_width=140,
                    label="Control map",
                    elem_id="control-map",
                    interactive=False,
                    buttons=[],
                )
            form.own("image", image)
            demo = gr.Button("Use a demo photograph", size="sm", elem_id="control-demo")
            kind = form.show("control")
            with gr.Row() as thresholds:
                form.show("canny_low", min_width=140)
                form.show("canny_high", min_width=140)
            editor = PoseEditor(form)
            form.show("prompt")
            form.show("models")
            form.show("seed")
            panel.place_buttons("Generate")
            overview = Overview(form, OF_THE_PICTURE)
            _second(form, local)
            overview.place_filter()
            form.groups(() if local else BY_PATH, count=False)
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            gallery = gr.Gallery(
                show_label=False,
                elem_id="control-gallery",
                columns=3,
                object_fit="contain",
                height="auto",
                interactive=False,
                visible=False,
            )
            table = gr.HTML(None, html_template=TEMPLATE, elem_id="control-grid", js_on_load=None)
            download = gr.DownloadButton(
                "Download report (zip)", visible=False, elem_id="control-download", size="sm"
            )
    panel.runs(form, raw=True)
    overview.follow()
    follow_run(services, form)
    assert isinstance(kind, gr.Radio)
    second = form["second_control"]
    assert isinstance(second, gr.Radio)
    for each in (kind, second):
        each.change(_shown, [kind, second], [thresholds, editor.accordion], **QUIET)
    editor.connect(form)
    low, high = form["canny_low"], form["canny_high"]
    assert isinstance(low, gr.Slider) and isinstance(high, gr.Slider)
    for event in (image.change, kind.change, low.release, high.release, editor.points.input):
        event(
            lambda *values: map_of(services, form, *values),
            form.inputs,
            control_map,
            preprocess=False,
            **QUIET,
        )

    def map_if_missing(*values: Any) -> Any:
        *given, shown = values
        return gr.skip() if shown else map_of(services, form, *given)

    # The image may come before a model: right after the page has opened, or with no model ticked.
    models = form["models"]
    assert isinstance(models, gr.CheckboxGroup)
    models.change(map_if_missing, [*form.inputs, control_map], control_map, preprocess=False, **QUIET)
    demo.click(demo_figure, None, image, **QUIET)

    def render(view: JobView) -> Updates:
        updates = panel.updates(view)
        if view.news(ControlMap, Cell):
            pictures = control_results(view)
            updates[gallery] = gr.update(value=pictures, visible=bool(pictures))
            updates[table] = strength_grid(view)
        if view.news(Saved):
            updates[download] = download_update(services.workspace, view)
        return updates

    watch.attach("control", render, [*panel.outputs, gallery, table, download])
    return form


def _shown(control: str, second: str) -> list[Any]:
    """Show the fields that the control types use."""
    kinds = (control, second)
    return [gr.update(visible="canny" in kinds), gr.update(visible="pose" in kinds)]


def _second(form: Form, local: bool) -> None:
    """Place the fields of the second ControlNet. Its image is uploaded, never a path."""
    names = [name for name in ControlJob.model_fields if name.startswith("second_")]
    with (
        gr.Column(elem_classes="dg-groups"),
        gr.Accordion("Second ControlNet", open=False, elem_id="control-group-second-controlnet"),
    ):
        form.own(
            "second_image",
            gr.Image(
                type="filepath",
                sources=["upload", "clipboard"],
                height=190,
                label=ControlJob.model_fields["second_image"].title,
                elem_id="control-second-image",
                buttons=[],
            ),
        )
        form.place(name for name in names if name != "second_image" and (local or name not in BY_PATH))


def map_of(services: Services, form: Form, *values: Any) -> Any:
    """Return the control map of these settings, or None without a control image or a model."""
    given = dict(zip(form.names, values, strict=True))
    if not given["models"] or not (given["image"] or (given["pose"] and given["control"] == "pose")):
        return None
    try:
        job = form.read(*values)
        assert isinstance(job, ControlJob)
        from dreamgui.diffusion.control.control_image import make_control_map

        catalog = services.catalog
        specs = [catalog.spec(name, controlnet=job.control) for name in job.models]
        return make_control_map(job, catalog.card(specs[0].base).size_px)[1]
    except DreamError as error:
        warn(str(error), title="No control map")
        return None
