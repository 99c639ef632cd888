"""Convert tab: a checkpoint in one file becomes a model for the other tabs."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.config import ConvertJob, JobConfig
from dreamgui.errors import BadInput, DreamError
from dreamgui.events import Saved
from dreamgui.models.recognition.inspect_file import inspect_file
from dreamgui.models.recognition.recognise import PART_WORDS
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.markup import facts, table
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.session import QUIET, as_ui_error
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.ui.tabs.convert.workshop import certificate_card
from dreamgui.ui.tabs.next_step import NextStep

IDLE = "Convert the demo model first. It runs on any computer."
ADVICE = "Train, Compare and ControlNet now offer this model."
DEMO, UPLOAD, PATH = "Demo model", "Upload", "Path or address"


def create_convert_tab(services: Services, watch: Watch, local: bool) -> NextStep:
    """Create the tab and return its way on. ``local`` allows a path on this machine."""
    form = Form(ConvertJob, services, "convert", local)
    panel = RunPanel(services, "convert", "convert", IDLE, ADVICE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            ways = [DEMO, UPLOAD, *([PATH] if local else [])]
            way = gr.Radio(ways, value=DEMO, label="Checkpoint", elem_id="convert-way")
            upload = gr.File(
                label="Checkpoint file (.safetensors, .ckpt)",
                elem_id="convert-upload",
                visible=False,
                height=140,
                file_types=[".safetensors", ".ckpt"],
            )
            source = gr.Textbox(
                label="Path or address",
                info="A file or folder on this computer, or an address at civitai or Hugging Face.",
                elem_id="convert-source",
                visible=False,
                placeholder="/home/me/model.safetensors or civitai:130072",
            )
            form.show("model")
            panel.place_buttons("Convert")
            look = gr.Button("Inspect file", size="sm", elem_id="convert-inspect")
            form.groups(skip=("source",))
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            onward = NextStep("Next: train this model", "convert-next", "model")
            result = gr.HTML(elem_id="convert-result")
            inspection = gr.HTML(elem_id="convert-inspected")
            known = gr.HTML(elem_id="convert-known")
    way.change(
        lambda kind: (gr.update(visible=kind == UPLOAD), gr.update(visible=kind == PATH)),
        way,
        [upload, source],
        **QUIET,
    )

    def chosen(kind: str, uploaded: str | None, path: str | None) -> str:
        source = {DEMO: "demo", UPLOAD: uploaded or "", PATH: (path or "").strip() if local else ""}[kind]
        if not source:
            raise BadInput(
                "No checkpoint was chosen.", "Upload a .safetensors or .ckpt file, or choose the demo model."
            )
        return source

    def read(kind: str, uploaded: str | None, path: str | None, *values: Any) -> JobConfig:
        return form.read(*values, source=chosen(kind, uploaded, path))

    look.click(
        lambda *given: as_ui_error(lambda: inspected(chosen(*given))),
        [way, upload, source],
        inspection,
        **QUIET,
    )
    panel.runs(form, read, inputs=[way, upload, source, *form.inputs])

    def render(view: JobView) -> Updates:
        updates = panel.updates(view) | onward.show(view)
        if view.news(Saved):
            updates[result] = saved_card(services, view.last(Saved))
            updates[known] = known_models(services)
        return updates

    watch.attach("convert", render, [*panel.outputs, *onward.outputs, result, known])
    return onward


def inspected(source: str) -> str:
    """Describe a file or folder of this machine in five lines.

    Raises:
        BadInput, BadModelFile: it is missing, or broken.
    """
    path = Path(source).expanduser()
    if source == "demo" or not path.exists():
        raise BadInput(
            f"There is no file {source!r} on this computer.",
            "Upload a file, or convert the model and see its card.",
        )
    return "".join(f"<div>{escape(line)}</div>" for line in inspect_file(path))


def saved_card(services: Services, saved: Saved | None) -> str:
    """Return a converted model's card, or an export's certificate."""
    if saved is None:
        return ""
    return certificate_card(saved.path) if saved.what == "export" else model_card(services, saved.name)


def model_card(services: Services, name: str) -> str:
    """Return the facts of a converted model as HTML."""
    try:
        card = services.catalog.card(name)
    except DreamError as error:
        return facts([("Model", name), ("Problem", str(error))])
    pairs = [
        ("Model", card.name),
        ("Family", FAMILIES[card.family]),
        ("Image size", f"{card.size_px} x {card.size_px} pixels"),
    ]
    hashed = [("SHA-256", card.sha256[:16] + "...")] if card.sha256 else []
    origins = [(PART_WORDS[part], origin) for part, origin in card.components.items()]
    return facts([*pairs, ("Source", card.source.rsplit("/", 1)[-1]), *hashed]) + table(
        ("Part", "From"), origins, "Source of each part"
    )


def known_models(services: Services) -> str:
    """Return a table of the workspace's base models."""
    rows = []
    for name in services.catalog.bases():
        try:
            card = services.catalog.card(name)
        except DreamError as error:
            rows.append((name, str(error), ""))
        else:
            rows.append((name, FAMILIES[card.family], f"{card.size_px} px"))
    return table(("Model", "Family", "Size"), rows, "Base models")


FAMILIES = {"sd15": "Stable Diffusion 1.5", "demo": "small demo model"}
