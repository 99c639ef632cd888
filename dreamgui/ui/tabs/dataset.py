"""Dataset: photographs in, crops out, and corrections to them."""

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
from dreamgui.ui.form import Form
from dreamgui.ui.markup import table
from dreamgui.ui.panel import RunPanel
from dreamgui.ui.session import QUIET, told
from dreamgui.ui.stream import JobView
from dreamgui.ui.tabs.dataset_review import Review
from dreamgui.ui.watch import Updates, Watch
from dreamgui.workspace import read_json

GUIDE = """<div class="dg-guide"><h2>How it goes</h2><ol>
<li><span><b>Dataset.</b> Faces are found in 10 to 20 photographs of one person and cut out.</span></li>
<li><span><b>Convert.</b> A checkpoint file, or the bundled demo model, is made ready.</span></li>
<li><span><b>Train.</b> The model learns the person: as a LoRA, or in its whole UNet.</span></li>
<li><span><b>Compare.</b> The same prompts through several models, with the likeness measured.</span></li>
<li><span><b>ControlNet.</b> The edges or the pose of a picture lead the drawing.</span></li>
</ol></div>"""
IDLE = "Add 10 to 20 photographs of one person, or use the demo's, and press Crop the faces."
SIZES_PX = (256, 512, 640, 768)
ADVICE = "Look through the crops, drop bad ones, then go to Train."


def create_dataset_tab(services: Services, watch: Watch, local: bool) -> None:
    """The tab's widgets and listeners; ``local`` allows a copy into a folder of this machine."""
    form = Form(CropJob, services, "dataset", local)
    panel = RunPanel(services, "crop", "dataset", IDLE, ADVICE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            photos = gr.File(
                label="Photographs of one person: files, or a zip of them",
                file_count="multiple",
                elem_id="dataset-photos",
                height=158,
            )
            form.own("photos", photos)
            with gr.Row(elem_classes="dg-buttons"):
                folder = gr.UploadButton(
                    "Choose a folder",
                    size="sm",
                    file_count="directory",
                    elem_id="dataset-folder",
                    min_width=130,
                )
                demo = gr.Button(
                    "Use the demo's photographs", size="sm", elem_id="dataset-demo", min_width=190
                )
            with gr.Row():
                form.show("dataset", max_length=80, min_width=150)
                form.own("size_px", size_chooser(services))
            form.show("instance_prompt")
            panel.place_buttons("Crop the faces", start_id="dataset-crop")
            form.fold()
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            refused = gr.HTML(elem_id="dataset-refused")
            guide = gr.HTML(elem_id="dataset-guide")
            review = Review(services)
    panel.runs(form)
    folder.upload(lambda files: files, folder, photos, **QUIET)
    demo.click(
        lambda: (
            demo_photographs(),
            *form.prefill({"dataset": "demo-person", "size_px": demo_size_px()})[1:],
        ),
        None,
        form.inputs,
        **QUIET,
    )

    def render(view: JobView) -> Updates:
        updates = panel.updates(view)
        if view.news(Skipped):
            rows = [(item.source, item.reason) for item in view.all(Skipped)]
            updates[refused] = table(("File", "Why it isn't used"), rows, "Left out")
        if view.news(Cropped, Saved):
            last = view.last(Cropped)
            updates |= review.show(last.saved.parent.parent.name if last and not view.new else "")
            updates[guide] = "" if services.workspace.names("datasets") else GUIDE
        return updates

    watch.attach("crop", render, [*panel.outputs, guide, refused, *review.outputs])


def size_chooser(services: Services) -> gr.Dropdown:
    """The usual sizes and those that the converted models train at; others can be typed."""
    field = CropJob.model_fields["size_px"]
    chooser = gr.Dropdown(
        size_choices(services),
        value=field.default,
        label=field.description,
        allow_custom_value=True,
        elem_id="dataset-size-px",
        min_width=150,
    )
    chooser.focus(lambda: gr.update(choices=size_choices(services)), None, chooser, **QUIET)
    return chooser


def size_choices(services: Services) -> list[tuple[str, int]]:
    """Label and side in pixels, small ones first; a model's own size names the model."""
    names: dict[int, list[str]] = {size_px: [] for size_px in SIZES_PX}
    for base in services.catalog.bases():
        # A model that is damaged, or just deleted, is told of where it is used.
        with suppress(DreamError):
            names.setdefault(services.catalog.card(base).size_px, []).append(base)
    return [
        (f"{size_px} ({', '.join(bases)})" if bases else str(size_px), size_px)
        for size_px, bases in sorted(names.items())
    ]


def demo_photographs() -> list[str]:
    """The bundled photographs, copied to where uploads lie."""
    folder = Path(get_upload_folder()) / "demo-photographs"
    folder.mkdir(parents=True, exist_ok=True)
    photographs = sorted(path for path in told(lambda: asset("demo/photos")).iterdir() if path.is_file())
    return [str(shutil.copy(path, folder)) for path in photographs]


def demo_size_px() -> int:
    """The size in pixels that the bundled model draws."""
    return read_json(told(lambda: asset("demo/card.json")))["size_px"]
