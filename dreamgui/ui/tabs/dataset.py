"""Dataset: photographs in, crops out, and corrections to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import gradio as gr
from gradio.utils import get_upload_folder

from dreamgui.assets import asset
from dreamgui.config import CropJob, Framing
from dreamgui.data.dataset import Dataset, Entry
from dreamgui.errors import DreamError
from dreamgui.events import Cropped, Saved, Skipped
from dreamgui.services import Services
from dreamgui.ui.form import Form
from dreamgui.ui.markup import table
from dreamgui.ui.panel import RunPanel
from dreamgui.ui.pictures import gallery, shown
from dreamgui.ui.session import QUIET, told
from dreamgui.ui.stream import JobView
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
ADVICE = "Look through the crops, drop bad ones, then go to Train."


def create_dataset_tab(services: Services, watch: Watch) -> None:
    """The tab's widgets and listeners."""
    form = Form(CropJob, services, "dataset")
    panel = RunPanel(services, "crop", "dataset", IDLE, ADVICE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            photos = gr.File(
                label="Photographs of one person", file_count="multiple", elem_id="dataset-photos", height=130
            )
            form.own("photos", photos)
            demo = gr.Button("Use the demo's photographs", size="sm", elem_id="dataset-demo")
            with gr.Row():
                form.show("dataset", max_length=80, min_width=150)
                form.show("size_px", min_width=150)
            form.show("instance_prompt")
            panel.place_buttons("Crop the faces", start_id="dataset-crop")
            form.fold()
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            guide = gr.HTML(elem_id="dataset-guide")
            review = Review(services)
            refused = gr.HTML(elem_id="dataset-refused")
    panel.runs(form)
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


class Review:
    """The gallery of a data set's crops, and what can be changed about the selected one."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.chosen = gr.Dropdown(label="Data set", elem_id="dataset-chosen", visible=False)
        self.gallery = gr.Gallery(
            show_label=False,
            elem_id="dataset-gallery",
            columns=6,
            height="auto",
            allow_preview=False,
            object_fit="cover",
            interactive=False,
            buttons=[],
            visible=False,
        )
        self._file = gr.Textbox(visible=False, elem_id="dataset-file")
        with gr.Group(visible=False, elem_id="dataset-edit") as self._panel:
            with gr.Row(equal_height=True):
                self._picture = gr.Image(
                    show_label=False,
                    height=150,
                    width=150,
                    interactive=False,
                    elem_id="dataset-picture",
                    buttons=[],
                    scale=0,
                    min_width=150,
                )
                with gr.Column():
                    self._framing = gr.Radio(
                        list(get_args(Framing)), label="Framing", elem_id="dataset-framing"
                    )
                    self._caption = gr.Textbox(label="Caption (Enter saves it)", elem_id="dataset-caption")
            self._drop = gr.Button("Drop this crop", size="sm", elem_id="dataset-drop")
        self._listen()

    def _listen(self) -> None:
        editor = [self._panel, self._file, self._picture, self._framing, self._caption, self._drop]
        changed = [self.gallery, *editor]
        place = [self.chosen, self._file]
        self.chosen.change(self._open, self.chosen, [self.gallery, self._panel], **QUIET)
        self.gallery.select(self._select, self.chosen, editor, **QUIET)
        self._framing.input(self._change(Dataset.set_framing), [*place, self._framing], changed, **QUIET)
        self._caption.submit(self._change(Dataset.set_caption), [*place, self._caption], changed, **QUIET)
        self._drop.click(self._change(_drop_or_restore), place, changed, **QUIET)

    def show(self, name: str = "") -> Updates:
        """Updates that open this data set, the newest one unless named."""
        names = self.services.workspace.names("datasets")
        name = name if name in names else (names[-1] if names else "")
        try:
            pictures = self._pictures(name) if name else []
        except DreamError:
            pictures = []
        return {
            self.chosen: gr.update(choices=names, value=name or None, visible=bool(names)),
            self.gallery: gr.update(value=pictures, visible=bool(pictures)),
        }

    @property
    def outputs(self) -> list[Any]:
        """The components that :meth:`show` speaks of."""
        return [self.chosen, self.gallery]

    def _load(self, name: str) -> Dataset:
        return Dataset.load(self.services.workspace.find("datasets", name))

    def _pictures(self, name: str) -> list[tuple[str, str]]:
        dataset = self._load(name)
        return gallery((dataset.path(entry), _caption(entry)) for entry in dataset.entries)

    def _open(self, name: str | None) -> tuple[Any, Any]:
        pictures = told(lambda: self._pictures(name)) if name else []
        return pictures, gr.update(visible=False)

    def _select(self, name: str, picked: gr.SelectData) -> tuple[Any, ...]:
        dataset = told(lambda: self._load(name))
        return self._edit(dataset, dataset.entries[int(picked.index)])

    def _edit(self, dataset: Dataset, entry: Entry) -> tuple[Any, ...]:
        label = "Restore this crop" if entry.dropped else "Drop this crop"
        picture = shown(dataset.path(entry))
        return (
            gr.update(visible=True),
            entry.file,
            picture,
            entry.framing,
            entry.caption,
            gr.update(value=label),
        )

    def _change(self, change: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
        """A listener that changes the selected crop; a refused change is undone in the page."""

        def listener(name: str, file: str, *values: str) -> tuple[Any, ...]:
            dataset = told(lambda: self._load(name))
            try:
                change(dataset, file, *values)
            except DreamError as error:
                gr.Warning(str(error), duration=12, title="Not changed")
            return self._pictures(name), *self._edit(dataset, dataset.entry(file))

        return listener


def _drop_or_restore(dataset: Dataset, file: str) -> None:
    if dataset.entry(file).dropped:
        dataset.restore(file)
    else:
        dataset.drop(file)


def _caption(entry: Entry) -> str:
    return f"dropped: {entry.framing}" if entry.dropped else entry.framing


def demo_photographs() -> list[str]:
    """The bundled photographs, copied to where uploads lie."""
    folder = Path(get_upload_folder()) / "demo-photographs"
    folder.mkdir(parents=True, exist_ok=True)
    photographs = sorted(path for path in told(lambda: asset("demo/photos")).iterdir() if path.is_file())
    return [str(shutil.copy(path, folder)) for path in photographs]


def demo_size_px() -> int:
    """The size in pixels that the bundled model draws."""
    return read_json(told(lambda: asset("demo/card.json")))["size_px"]
