"""A data set's crops: the gallery, what it covers, all captions at once, undo, and the zip to take away."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from dreamgui.data.coverage import cover
from dreamgui.data.dataset import Dataset
from dreamgui.data.exchange import export_zip
from dreamgui.errors import DreamError
from dreamgui.services import Services
from dreamgui.ui.pictures import THUMB_PX, gallery
from dreamgui.ui.session import QUIET, told
from dreamgui.ui.tabs.dataset_crop import Action, CropEditor
from dreamgui.ui.tabs.dataset_markup import coverage_card, gallery_label, set_line
from dreamgui.ui.watch import Updates

# A download button downloads what it held when it was pressed: so a plain button fills it, then presses it.
_PRESS = "() => setTimeout(() => document.querySelector('#dataset-zip').click(), 300)"


class Review:
    """The data set that was chosen or just made, and what can be changed about it."""

    def __init__(self, services: Services) -> None:
        self.services = services
        with gr.Column(visible=False, elem_id="dataset-review") as self._all:
            with gr.Row(equal_height=True, elem_classes="dg-buttons"):
                self.chosen = gr.Dropdown(label="Data set", elem_id="dataset-chosen", min_width=150, scale=3)
                self._undo = gr.Button(
                    "Undo", size="sm", elem_id="dataset-undo", visible=False, min_width=90, scale=1
                )
                self._export = gr.Button(
                    "Download as zip", size="sm", elem_id="dataset-download", min_width=120, scale=1
                )
                self._zip = gr.DownloadButton("Zip", elem_id="dataset-zip", visible="hidden")
            self.gallery = gr.Gallery(
                show_label=False,
                elem_id="dataset-gallery",
                columns=6,
                height="auto",
                allow_preview=False,
                object_fit="cover",
                interactive=False,
                buttons=[],
            )
            self._line = gr.HTML(elem_id="dataset-summary")
            self.editor = CropEditor()
            with gr.Accordion("What the set covers", open=False, elem_id="dataset-coverage") as self._covers:
                self._coverage = gr.HTML(elem_id="dataset-coverage-card")
            self._captions()
        self._listen()

    def _captions(self) -> None:
        with gr.Accordion("Captions of all crops", open=False, elem_id="dataset-captions"):
            with gr.Row(elem_classes="dg-buttons"):
                self._find = gr.Textbox(label="Find", elem_id="dataset-find", min_width=130)
                self._put = gr.Textbox(label="Replace with", elem_id="dataset-put", min_width=130)
                self._replace = gr.Button("Replace", elem_id="dataset-replace", min_width=110, scale=0)
            with gr.Row(elem_classes="dg-buttons"):
                self._before = gr.Textbox(label="Put before every caption", elem_id="dataset-prefix")
                self._prefix = gr.Button("Put before", elem_id="dataset-prefix-all", min_width=110, scale=0)

    def _listen(self) -> None:
        editor, place = self.editor, [self.chosen, self.editor.file]
        outputs = [*self._of_set, *editor.outputs]
        self.chosen.change(self._open, self.chosen, outputs, **QUIET)
        self.gallery.select(self._select, place, editor.outputs, **QUIET)
        editor.listen(self._change, self.chosen, outputs)
        self._undo.click(self._change(_undo), place, outputs, **QUIET)
        replace, prefix = self._change(_replace), self._change(_prefix)
        self._replace.click(replace, [*place, self._find, self._put], outputs, **QUIET)
        self._prefix.click(prefix, [*place, self._before], outputs, **QUIET)
        made = self._export.click(self._zipped, self.chosen, self._zip, **QUIET)
        made.success(None, js=_PRESS, **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """The components that :meth:`show` speaks of."""
        return [self._all, self.chosen, *self._of_set]

    @property
    def _of_set(self) -> list[Any]:
        return [self.gallery, self._line, self._undo, self._covers, self._coverage]

    def show(self, name: str = "") -> Updates:
        """Updates that open this data set, the newest one unless named."""
        names = self.services.workspace.names("datasets")
        name = name if name in names else (names[-1] if names else "")
        updates: Updates = {
            self._all: gr.update(visible=bool(names)),
            self.chosen: gr.update(choices=names, value=name or None),
        }
        try:
            return updates | (self._set(self._load(name)) if name else {})
        except DreamError as error:
            return updates | {self.gallery: [], self._line: escape(str(error)), self._coverage: ""}

    def _load(self, name: str) -> Dataset:
        return Dataset.load(self.services.workspace.find("datasets", name))

    def _set(self, dataset: Dataset) -> Updates:
        coverage, undoable = cover(dataset.entries), dataset.undoable
        pictures = ((dataset.path(entry), gallery_label(entry)) for entry in dataset.entries)
        hints = len(coverage.advice)
        return {
            self.gallery: gallery(pictures, THUMB_PX),
            self._line: set_line(dataset),
            self._undo: gr.update(value=f"Undo: {undoable}", visible=bool(undoable)),
            self._covers: gr.update(label="What the set covers" + (f" ({hints} hints)" if hints > 1 else "")),
            self._coverage: coverage_card(coverage),
        }

    def _open(self, name: str | None) -> Updates:
        if not name:
            return {self.gallery: []}
        dataset = told(lambda: self._load(name))
        return self._set(dataset) | self.editor.show(dataset, "")

    def _select(self, name: str, shown: str, picked: gr.SelectData) -> Updates:
        dataset = told(lambda: self._load(name))
        file = dataset.entries[int(picked.index)].file
        updates = self.editor.show(dataset, file)
        return self.editor.without_caption(updates) if file == shown else updates

    def _change(self, action: Action) -> Any:
        """A listener that changes the data set; what a refused change showed is set back."""

        def listener(name: str, file: str, *values: Any) -> Updates:
            dataset = told(lambda: self._load(name))
            caption = told(lambda: dataset.entry(file).caption) if file else ""
            try:
                action(dataset, file, *values)
            except DreamError as error:
                gr.Warning(str(error), duration=12, title="Not changed")
            updates = self.editor.show(dataset, file)
            if file and action is not Dataset.set_caption and dataset.entry(file).caption == caption:
                updates = self.editor.without_caption(updates)
            return self._set(dataset) | updates

        return listener

    def _zipped(self, name: str) -> str:
        folder = Path(get_upload_folder()) / "zipped"
        folder.mkdir(parents=True, exist_ok=True)
        return str(told(lambda: export_zip(self._load(name), folder / f"{name}.zip")))


def _undo(dataset: Dataset, _file: str) -> None:
    gr.Info(f"Undone: {dataset.undo()}.", duration=4)


def _replace(dataset: Dataset, _file: str, find: str, put: str) -> None:
    _tell(dataset.replace_in_captions(find, put))


def _prefix(dataset: Dataset, _file: str, prefix: str) -> None:
    _tell(dataset.prefix_captions(prefix))


def _tell(changed: int) -> None:
    gr.Info(f"{changed} caption{' has' if changed == 1 else 's have'} changed.", duration=4)
