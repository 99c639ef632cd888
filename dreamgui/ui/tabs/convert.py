"""Convert: a checkpoint in one file becomes a model that the other tabs use."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.config import ConvertJob, JobConfig
from dreamgui.errors import BadInput, DreamError
from dreamgui.events import Saved
from dreamgui.models.inspect_file import inspect_file
from dreamgui.models.recognise import PART_WORDS
from dreamgui.services import Services
from dreamgui.ui.form import Form
from dreamgui.ui.markup import facts, table
from dreamgui.ui.panel import RunPanel
from dreamgui.ui.session import QUIET, told
from dreamgui.ui.stream import JobView
from dreamgui.ui.tabs.workshop import certificate_card
from dreamgui.ui.watch import Updates, Watch

IDLE = "Convert the bundled demo model first; it works on any computer."
ADVICE = "Now it can be chosen in Train, Compare and ControlNet."
DEMO, UPLOAD, PATH = "The bundled demo model", "Upload a file", "A path or address"


def create_convert_tab(services: Services, watch: Watch, local: bool) -> None:
    """The tab's widgets and listeners; ``local`` allows a path on this machine."""
    form = Form(ConvertJob, services, "convert", local)
    panel = RunPanel(services, "convert", "convert", IDLE, ADVICE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            ways = [DEMO, UPLOAD, *([PATH] if local else [])]
            way = gr.Radio(ways, value=DEMO, label="Checkpoint", elem_id="convert-way")
            upload = gr.File(
                label="Checkpoint (.safetensors or .ckpt)",
                elem_id="convert-upload",
                visible=False,
                height=140,
                file_types=[".safetensors", ".ckpt"],
            )
            source = gr.Textbox(
                label="File or folder on this computer, civitai or Hugging Face address",
                elem_id="convert-source",
                visible=False,
                placeholder="/home/me/model.safetensors or civitai:130072",
            )
            form.show("model", placeholder="made from the file's name")
            panel.place_buttons("Convert")
            look = gr.Button("What is this file?", size="sm", elem_id="convert-inspect")
            form.fold(skip=("source",))
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            result = gr.HTML(elem_id="convert-result")
            told_of = gr.HTML(elem_id="convert-inspected")
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
                "No checkpoint was chosen.", "Upload a .safetensors or .ckpt file, or take the demo model."
            )
        return source

    def read(kind: str, uploaded: str | None, path: str | None, *values: Any) -> JobConfig:
        return form.read(*values, source=chosen(kind, uploaded, path))

    look.click(
        lambda *given: told(lambda: inspected(chosen(*given))), [way, upload, source], told_of, **QUIET
    )
    panel.runs(form, read, inputs=[way, upload, source, *form.inputs])

    def render(view: JobView) -> Updates:
        updates = panel.updates(view)
        if view.news(Saved):
            updates[result] = saved_card(services, view.last(Saved))
            updates[known] = known_models(services)
        return updates

    watch.attach("convert", render, [*panel.outputs, result, known])


def inspected(source: str) -> str:
    """What a file or folder of this machine is, in five lines.

    Raises:
        BadInput, BadModelFile: it is none, or broken.
    """
    path = Path(source).expanduser()
    if source == "demo" or not path.exists():
        raise BadInput(
            f"{source!r} is no file on this computer.",
            "Upload a file, or convert the model and see its card.",
        )
    return "".join(f"<div>{escape(line)}</div>" for line in inspect_file(path))


def saved_card(services: Services, saved: Saved | None) -> str:
    """A converted model's card, or the certificate of what was given out."""
    if saved is None:
        return ""
    return certificate_card(saved.path) if saved.what == "export" else model_card(services, saved.name)


def model_card(services: Services, name: str) -> str:
    """What a converted model is."""
    try:
        card = services.catalog.card(name)
    except DreamError as error:
        return facts([("Model", name), ("Problem", str(error))])
    pairs = [
        ("Model", card.name),
        ("Family", FAMILIES[card.family]),
        ("Draws at", f"{card.size_px} x {card.size_px} pixels"),
    ]
    hashed = [("SHA-256", card.sha256[:16] + "...")] if card.sha256 else []
    origins = [(PART_WORDS[part], origin) for part, origin in card.components.items()]
    return facts([*pairs, ("Made from", card.source.rsplit("/", 1)[-1]), *hashed]) + table(
        ("Part", "From"), origins, "Where each part came from"
    )


def known_models(services: Services) -> str:
    """All base models of the workspace."""
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
