"""ControlNet: the edges or the pose of a picture lead the same drawing through several models."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import gradio as gr

from dreamgui.config import ControlJob
from dreamgui.errors import DreamError
from dreamgui.events import Cell, Hint, Saved
from dreamgui.services import Services
from dreamgui.ui.form import Form
from dreamgui.ui.panel import RunPanel
from dreamgui.ui.pictures import gallery as gallery_of
from dreamgui.ui.session import QUIET
from dreamgui.ui.stream import JobView
from dreamgui.ui.tabs.compare import download_update
from dreamgui.ui.tabs.dataset import demo_photographs
from dreamgui.ui.watch import Updates, Watch

IDLE = "Add a picture; its edges or its pose will lead the drawing, the prompt says what is drawn."


def create_control_tab(services: Services, watch: Watch) -> Form:
    """The tab's widgets and listeners; the form is returned so that its choices can be refreshed."""
    form = Form(ControlJob, services, "control")
    panel = RunPanel(services, "control", "control", IDLE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            with gr.Row():
                image = gr.Image(
                    type="filepath",
                    sources=["upload", "clipboard"],
                    height=190,
                    min_width=140,
                    label="Picture that leads",
                    elem_id="control-image",
                    buttons=[],
                )
                leading = gr.Image(
                    height=190,
                    min_width=140,
                    label="Its map",
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
            form.show("prompt")
            form.show("models")
            panel.place_buttons("Draw")
            form.fold()
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
            download = gr.DownloadButton(
                "Download the report (zip)", visible=False, elem_id="control-download", size="sm"
            )
    panel.runs(form, raw=True)
    assert isinstance(kind, gr.Radio)
    kind.change(lambda control: gr.update(visible=control == "canny"), kind, thresholds, **QUIET)
    low, high = form["canny_low"], form["canny_high"]
    assert isinstance(low, gr.Slider) and isinstance(high, gr.Slider)
    for event in (image.change, kind.change, low.release, high.release):
        event(
            lambda *values: map_of(services, form, *values), form.inputs, leading, preprocess=False, **QUIET
        )

    def missing(*values: Any) -> Any:
        *given, shown = values
        return gr.skip() if shown else map_of(services, form, *given)

    # A picture may be there before a model is: the page has just opened, or none was ticked.
    models = form["models"]
    assert isinstance(models, gr.CheckboxGroup)
    models.change(missing, [*form.inputs, leading], leading, preprocess=False, **QUIET)
    demo.click(lambda: demo_photographs()[0], None, image, **QUIET)

    def render(view: JobView) -> Updates:
        updates = panel.updates(view)
        if view.news(Hint, Cell):
            pictures = drawings(view)
            updates[gallery] = gr.update(value=pictures, visible=bool(pictures))
        if view.news(Saved):
            updates[download] = download_update(services, view)
        return updates

    watch.attach("control", render, [*panel.outputs, gallery, download])
    return form


def map_of(services: Services, form: Form, *values: Any) -> Any:
    """The map that a drawing with these settings would be led by; None without a picture or a model."""
    given = dict(zip(form.names, values, strict=True))
    if not given["image"] or not given["models"]:
        return None
    try:
        job = form.read(*values)
        assert isinstance(job, ControlJob)
        from dreamgui.recipes.control import control

        recipe = control(job, services.workspace, services.models)
        with closing(recipe):
            return next(event.image for event in recipe if isinstance(event, Hint))
    except DreamError as error:
        gr.Warning(str(error), title="No map")
        return None


def drawings(view: JobView) -> list[tuple[str, str]]:
    """The map, then each model's drawing, with captions."""
    maps = [(item.image, f"{item.control} map") for item in view.all(Hint)]
    return gallery_of([*maps, *((cell.image, cell.model) for cell in view.all(Cell))])
