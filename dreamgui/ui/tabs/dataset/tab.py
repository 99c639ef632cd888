"""Dataset tab: photographs in, crops out, and corrections to them."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from dreamgui.assets import asset
from dreamgui.config import CropJob
from dreamgui.errors import DreamError
from dreamgui.events import Cropped, Saved, Skipped
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.markup import table
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.session import QUIET, as_ui_error
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.ui.parts.widgets import extra
from dreamgui.ui.results.grid import TEMPLATE
from dreamgui.ui.tabs.dataset.person import place_person
from dreamgui.ui.tabs.dataset.previews import previews
from dreamgui.ui.tabs.dataset.review import Review
from dreamgui.ui.tabs.next_step import NextStep
from dreamgui.workspace import read_json

GUIDE = """<div class="dg-guide"><h2>How it works</h2><ol>
<li><span><b>Dataset.</b> Crops the faces in 10 to 20 photographs of one person.</span></li>
<li><span><b>Convert.</b> Prepares a checkpoint file, or the bundled demo model.</span></li>
<li><span><b>Train.</b> Trains the model on the person: as a LoRA, or the whole UNet.</span></li>
<li><span><b>Generate.</b> Generates pictures of the person from your own prompts.</span></li>
<li><span><b>Compare.</b> Generates the same prompts through several models and measures likeness.</span></li>
<li><span><b>Library.</b> Holds everything that was made, to open, download or use again.</span></li>
<li><span><b>ControlNet.</b> Generates pictures guided by the edges or the pose of an image.</span></li>
</ol></div>"""
IDLE = "Add 10 to 20 photographs of one person, or the demo photographs, then press Crop faces."
SIZES_PX = (256, 512, 640, 768)
ADVICE = "Review the crops and drop bad ones."


def create_dataset_tab(services: Services, watch: Watch, local: bool) -> NextStep:
    """Create the tab and return its way on. ``local`` allows a copy into a folder of this machine."""
    form = Form(CropJob, services, "dataset", local)
    panel = RunPanel(services, "crop", "dataset", IDLE, ADVICE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            photos = gr.File(
                label="Photographs of one person (files or zip)",
                file_count="multiple",
                elem_id="dataset-photos",
                height=158,
            )
            form.own("photos", photos)
            seen = gr.HTML(None, html_template=TEMPLATE, elem_id="dataset-previews")
            with gr.Row(elem_classes="dg-buttons"):
                folder = gr.UploadButton(
                    "Choose a folder",
                    size="sm",
                    file_count="directory",
                    elem_id="dataset-folder",
                    min_width=130,
                )
                demo = gr.Button("Use demo photographs", size="sm", elem_id="dataset-demo", min_width=190)
            with gr.Row():
                form.show("dataset", max_length=80, min_width=150)
                form.own("size_px", size_chooser(services))
            place_person(form)
            panel.place_buttons("Crop faces", start_id="dataset-crop")
            form.groups()
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            onward = NextStep(
                "Next: train on this dataset",
                "dataset-next",
                "dataset",
                lambda: None if services.catalog.bases() else ("Next: prepare a model", "convert"),
            )
            refused = gr.HTML(elem_id="dataset-refused")
            guide = gr.HTML(elem_id="dataset-guide")
            review = Review(services)
    panel.runs(form)
    photos.change(previews, photos, seen, **QUIET)
    folder.upload(lambda files: files, folder, photos, **QUIET)
    answers(
        demo.click,
        lambda: (
            demo_photographs(),
            *form.prefill({"dataset": "demo-person", "size_px": demo_size_px()})[1:],
        ),
        [],
        form.inputs,
    )

    def render(view: JobView) -> Updates:
        updates = panel.updates(view) | onward.show(view)
        if view.news(Skipped):
            rows = [(item.source, item.reason) for item in view.all(Skipped)]
            updates[refused] = table(("File", "Reason"), rows, "Files left out")
        if view.news(Cropped, Saved):
            last = view.last(Cropped)
            updates |= review.show(last.saved.parent.parent.name if last and not view.new else "")
            updates[guide] = "" if services.workspace.names("datasets") else GUIDE
        return updates

    watch.attach("crop", render, [*panel.outputs, *onward.outputs, guide, refused, *review.outputs])
    return onward


def size_chooser(services: Services) -> gr.Dropdown:
    """Return the chooser of usual sizes and the converted models' own. Others can be typed."""
    field = CropJob.model_fields["size_px"]
    chooser = gr.Dropdown(
        size_choices(services),
        value=field.default,
        label=field.title,
        info=extra(field, "info"),
        allow_custom_value=True,
        elem_id="dataset-size-px",
        min_width=150,
    )
    chooser.focus(lambda: gr.update(choices=size_choices(services)), None, chooser, **QUIET)
    return chooser


def size_choices(services: Services) -> list[tuple[str, int]]:
    """Return labels and sides in pixels, smallest first. A model's own size names the model."""
    names: dict[int, list[str]] = {size_px: [] for size_px in SIZES_PX}
    for base in services.catalog.bases():
        # A damaged or just deleted model is reported where it is used.
        with suppress(DreamError):
            names.setdefault(services.catalog.card(base).size_px, []).append(base)
    return [
        (f"{size_px} ({', '.join(bases)})" if bases else str(size_px), size_px)
        for size_px, bases in sorted(names.items())
    ]


def demo_photographs() -> list[str]:
    """Copy the bundled photographs to gradio's uploads and return the paths."""
    folder = Path(get_upload_folder()) / "demo-photographs"
    folder.mkdir(parents=True, exist_ok=True)
    photographs = sorted(
        path for path in as_ui_error(lambda: asset("demo/photos")).iterdir() if path.is_file()
    )
    return [str(shutil.copy(path, folder)) for path in photographs]


def demo_size_px() -> int:
    """Return the bundled model's image size in pixels."""
    return read_json(as_ui_error(lambda: asset("demo/card.json")))["size_px"]
