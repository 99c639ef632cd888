"""Review of a dataset: gallery, coverage, all captions at once, undo, and download as zip."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from dreamgui.config import DatasetLayout
from dreamgui.data.dataset.coverage import cover
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.exchange.exchange import export_zip
from dreamgui.errors import DreamError, OutOfRange
from dreamgui.services import Services
from dreamgui.ui.parts.pictures import THUMB_PX, gallery, place_for
from dreamgui.ui.parts.session import PRESSED_AGAIN, QUIET, as_ui_error
from dreamgui.ui.parts.toasts import inform, warn
from dreamgui.ui.parts.watch import Updates
from dreamgui.ui.tabs.dataset.crop import Action, CropEditor
from dreamgui.ui.tabs.dataset.markup import coverage_card, dataset_line, gallery_label

# A download button downloads its content at the press. So a plain button fills it first, then presses it.
_PRESS = "() => setTimeout(() => document.querySelector('#dataset-zip').click(), 300)"

# The editor is made visible by the answer; on a phone it lies below the gallery.
_TO_EDITOR = "many => { if (!many) globalThis.dreamgui?.reveal('#dataset-edit'); }"
_LAYOUTS = [("DreamGUI", "dreamgui"), ("kohya", "kohya"), ("diffusers", "diffusers")]


class Review:
    """Review of the chosen or just made dataset, with its corrections."""

    def __init__(self, services: Services) -> None:
        self.services = services
        with gr.Column(visible=False, elem_id="dataset-review") as self._all:
            with gr.Row(equal_height=True, elem_classes="dg-buttons"):
                self.chosen = gr.Dropdown(label="Dataset", elem_id="dataset-chosen", min_width=150, scale=3)
                self._undo = gr.Button(
                    "Undo", size="sm", elem_id="dataset-undo", visible=False, min_width=90, scale=1
                )
                self._export = gr.Button(
                    "Download zip", size="sm", elem_id="dataset-download", min_width=120, scale=1
                )
                self._layout = gr.Dropdown(
                    _LAYOUTS, value="dreamgui", label="Layout", elem_id="dataset-layout-zip", min_width=180
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
            with gr.Row(elem_classes="dg-buttons"):
                self._many = gr.Checkbox(label="Select many", elem_id="dataset-many", min_width=130)
                self._flagged = gr.Button(
                    "Drop all flagged", size="sm", elem_id="dataset-drop-flagged", visible=False
                )
                self._picked = gr.State([])
                self._drop_picked = gr.Button(
                    "Drop chosen", size="sm", elem_id="dataset-drop-many", visible=False, min_width=130
                )
            self.editor = CropEditor()
            with gr.Accordion("Coverage", open=False, elem_id="dataset-coverage") as self._covers:
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
                self._before = gr.Textbox(label="Prefix", elem_id="dataset-prefix")
                self._prefix = gr.Button("Add prefix", elem_id="dataset-prefix-all", min_width=110, scale=0)

    def _listen(self) -> None:
        editor, place = self.editor, [self.chosen, self.editor.file]
        outputs = [*self._of_dataset, *editor.outputs]
        editor.answers(self.chosen.change, self._open, [self.chosen], outputs)
        of_many = [self.gallery, self._picked, self._drop_picked]
        picking = [*place, self._many, self._picked]
        editor.answers(self.gallery.select, self._select, picking, [*editor.outputs, *of_many])
        self.gallery.select(None, self._many, None, js=_TO_EDITOR, **QUIET)
        editor.answers(self._many.input, self._begin_many, [self.chosen], [*of_many, *editor.outputs])
        dropping = [*outputs, *of_many[1:]]
        editor.answers(self._drop_picked.click, self._drop_many, picking, dropping)
        for button, way in ((editor.earlier, -1), (editor.later, 1)):
            editor.answers(button.click, self._beside(way), place, editor.outputs, **PRESSED_AGAIN)
        editor.answers(self._flagged.click, self._change(_drop_flagged), place, outputs)
        editor.listen(self._change, self.chosen, outputs)
        editor.answers(self._undo.click, self._change(_undo), place, outputs, **PRESSED_AGAIN)
        replace, prefix = self._change(_replace), self._change(_prefix)
        editor.answers(self._replace.click, replace, [*place, self._find, self._put], outputs)
        editor.answers(self._prefix.click, prefix, [*place, self._before], outputs)
        made = self._export.click(self._zipped, [self.chosen, self._layout], self._zip, **QUIET)
        made.success(None, js=_PRESS, **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [self._all, self.chosen, *self._of_dataset]

    @property
    def _of_dataset(self) -> list[Any]:
        return [self.gallery, self._line, self._undo, self._flagged, self._covers, self._coverage]

    def show(self, name: str = "") -> Updates:
        """Return updates that open this dataset, the newest one by default."""
        names = self.services.workspace.names("datasets")
        name = name if name in names else (names[-1] if names else "")
        updates: Updates = {
            self._all: gr.update(visible=bool(names)),
            self.chosen: gr.update(choices=names, value=name or None),
        }
        try:
            return updates | (self._dataset(self._load(name)) if name else {})
        except DreamError as error:
            return updates | {self.gallery: [], self._line: escape(str(error)), self._coverage: ""}

    def _load(self, name: str) -> Dataset:
        return Dataset.load(self.services.workspace.find("datasets", name))

    def _dataset(self, dataset: Dataset) -> Updates:
        coverage, undoable = cover(dataset.entries), dataset.undoable
        pictures = ((dataset.path(entry), gallery_label(entry)) for entry in dataset.entries)
        count = len(coverage.advice)
        return {
            self.gallery: gallery(pictures, THUMB_PX),
            self._line: dataset_line(dataset),
            self._undo: gr.update(value=f"Undo: {undoable}", visible=bool(undoable)),
            self._flagged: gr.update(
                value=f"Drop all flagged ({len(dataset.flagged)})", visible=len(dataset.flagged) > 1
            ),
            self._covers: gr.update(label="Coverage" + (f" · {count} suggestions" if count > 1 else "")),
            self._coverage: coverage_card(coverage),
        }

    def _open(self, name: str | None) -> Updates:
        if not name:
            return {self.gallery: []}
        dataset = as_ui_error(lambda: self._load(name))
        return self._dataset(dataset) | self.editor.show(dataset, "")

    def _select(self, name: str, shown: str, many: bool, chosen: list[str], picked: gr.SelectData) -> Updates:
        dataset = as_ui_error(lambda: self._load(name))
        file = dataset.entries[int(picked.index)].file
        if many:
            return self._of_many(
                dataset, [each for each in chosen if each != file] if file in chosen else [*chosen, file]
            )
        updates = self.editor.show(dataset, file)
        return self.editor.without_caption(updates) if file == shown else updates

    def _begin_many(self, name: str | None) -> Updates:
        """Choose none yet, and hide the editor of a single crop."""
        if not name:
            return {self._picked: []}
        dataset = as_ui_error(lambda: self._load(name))
        return self._of_many(dataset, []) | self.editor.show(dataset, "")

    def _of_many(self, dataset: Dataset, chosen: list[str]) -> Updates:
        """Mark these crops in the gallery and offer to drop them."""
        pictures = (
            (dataset.path(entry), ("\N{CHECK MARK} " if entry.file in chosen else "") + gallery_label(entry))
            for entry in dataset.entries
        )
        offer = gr.update(value=f"Drop chosen ({len(chosen)})", visible=bool(chosen))
        return {self.gallery: gallery(pictures, THUMB_PX), self._picked: chosen, self._drop_picked: offer}

    def _drop_many(self, name: str, _file: str, _many: bool, chosen: list[str]) -> Updates:
        dataset = as_ui_error(lambda: self._load(name))
        there = {entry.file for entry in dataset.entries}
        count = as_ui_error(lambda: dataset.drop_all([each for each in chosen if each in there]))
        inform(f"{count} crops dropped. Undo restores them.", duration=6)
        return self._dataset(dataset) | self._of_many(dataset, []) | self.editor.show(dataset, "")

    def _beside(self, way: int) -> Any:
        """Return a listener that shows the crop before or after the shown one, around the ends."""

        def listener(name: str, file: str) -> Updates:
            dataset = as_ui_error(lambda: self._load(name))
            files = [entry.file for entry in dataset.entries]
            place = files.index(file) if file in files else 0
            return self.editor.show(dataset, files[(place + way) % len(files)]) if files else {}

        return listener

    def _change(self, action: Action) -> Any:
        """Return a listener that changes the dataset. A refused change resets the widgets."""

        def listener(name: str, file: str, *values: Any) -> Updates:
            dataset = as_ui_error(lambda: self._load(name))
            caption = as_ui_error(lambda: dataset.entry(file).caption) if file else ""
            try:
                action(dataset, file, *values)
            except DreamError as error:
                warn(str(error), duration=12, title="Not changed")
            updates = self.editor.show(dataset, file)
            if file and action is not Dataset.set_caption and dataset.entry(file).caption == caption:
                updates = self.editor.without_caption(updates)
            return self._dataset(dataset) | updates

        return listener

    def _zipped(self, name: str, layout: DatasetLayout) -> str:
        dataset = as_ui_error(lambda: self._load(name))
        target = place_for(dataset.folder) / f"{dataset.folder.name}.zip"
        return str(as_ui_error(lambda: export_zip(dataset, target, layout)))


def _drop_flagged(dataset: Dataset, _file: str) -> None:
    inform(f"{dataset.drop_flagged()} crops dropped. Undo restores them.", duration=6)


def _undo(dataset: Dataset, _file: str) -> None:
    if dataset.remarks:
        # The button offered to undo an earlier change than the captions just taken over.
        raise OutOfRange("Captions were changed by another program.", "Undo again to revert that.")
    inform(f"Undone: {dataset.undo()}.", duration=4)


def _replace(dataset: Dataset, _file: str, find: str, put: str) -> None:
    _tell(dataset.replace_in_captions(find, put))


def _prefix(dataset: Dataset, _file: str, prefix: str) -> None:
    _tell(dataset.prefix_captions(prefix))


def _tell(changed: int) -> None:
    inform(f"{changed} caption{' has' if changed == 1 else 's have'} changed.", duration=4)
