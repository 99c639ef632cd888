"""Library tab: items on the left, the chosen one on the right, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.errors import BadInput
from dreamgui.library.archive import archive, archive_bytes
from dreamgui.library.item import Item
from dreamgui.library.items import find
from dreamgui.library.trash import delete, empty
from dreamgui.services import Services
from dreamgui.sizes import file_size
from dreamgui.training.resumable import CHECKPOINTS, can_resume
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.pictures import as_it_is, place_for
from dreamgui.ui.parts.session import QUIET, as_ui_error, owner_of
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.watch import Updates
from dreamgui.ui.tabs.library.details import Details
from dreamgui.ui.tabs.library.keeping import Keeping, put_back
from dreamgui.ui.tabs.library.labels import LabelFields
from dreamgui.ui.tabs.library.reuse import has_settings, settings_of
from dreamgui.ui.tabs.library.shelf import Shelf
from dreamgui.ui.tabs.library.ways import OtherForms, Ways
from dreamgui.ui.tabs.train.resume import resumed_job
from dreamgui.ui.tabs.train.tab import TrainForms

IDLE = "Choose an item to see its details."
LARGEST_DOWNLOAD_BYTES = 2_000_000_000
_PRESS = "() => setTimeout(() => document.querySelector('#library-zip').click(), 300)"


def create_library_tab(services: Services, tab: gr.Tab, training: TrainForms, others: OtherForms) -> None:
    """Create the tab. Its items are shown anew whenever it is selected."""
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=3, min_width=320):
            shelf = Shelf(services)
            keeping = Keeping(services)
        with gr.Column(scale=2, min_width=320):
            chosen = Chosen(services)
    chosen.listen(shelf, keeping)
    chosen.fills(training, others)

    def empty_trash() -> None:
        # A file that another program holds open is removed another time.
        with suppress(OSError):
            empty(services.workspace)

    tab.select(empty_trash, None, None, **QUIET)
    shelf.show_at(tab.select)


class Chosen:
    """The chosen item and its buttons. The browser names an item by kind and name, which are looked up."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._key, self._trash_id = gr.State(""), gr.State("")
        self._idle = gr.HTML(f'<div class="dg-card dg-idle">{IDLE}</div>', elem_id="library-idle")
        with gr.Row(visible=False, elem_id="library-undo-row", elem_classes="dg-buttons") as self._undo_row:
            self._undo = gr.Button("Undo delete", size="sm", elem_id="library-undo", min_width=110)
        with gr.Column(visible=False, elem_id="library-chosen") as self._whole:
            with gr.Row(elem_classes="dg-buttons"):
                self.ways = Ways(services)
                self._use = _button("Use these settings", "library-use")
                self._resume = _button("Resume", "library-resume")
                self._download = _button("Download", "library-download")
                self._delete = _button("Delete", "library-delete")
            self._zip = gr.DownloadButton("Zip", elem_id="library-zip", visible="hidden")
            self._details = Details(services)
            self._labels = LabelFields(services)

    @property
    def outputs(self) -> list[Any]:
        """Components that the choice of an item changes."""
        buttons = [self._use, self._resume, self._idle, self._whole, self._key]
        return [*buttons, *self.ways.outputs, *self._details.outputs, *self._labels.fields]

    def listen(self, shelf: Shelf, keeping: Keeping) -> None:
        """Connect the grid, the buttons and the trash with each other."""
        shelf.grid.select(self.pick, None, self.outputs, **QUIET)
        saved = self._labels.save.click(self.save, [self._key, *self._labels.fields], self.outputs, **QUIET)
        gone = self._delete.click(
            self.remove, self._key, [*self.outputs, self._trash_id, self._undo_row], **QUIET
        )
        back = self._undo.click(self.undo, self._trash_id, [self._trash_id, self._undo_row], **QUIET)
        for event in (saved, gone, back, *keeping.changed):
            shelf.show_after(event)
            event.success(keeping.show, None, keeping.outputs, **QUIET)
        made = self._download.click(self.zipped, self._key, self._zip, **QUIET)
        made.success(None, js=_PRESS, **QUIET)

    def fills(self, training: TrainForms, others: OtherForms) -> None:
        """Let "Use these settings" fill in the Train tab, "Resume" start there, and the others lead to their tabs."""
        tabs = others.tabs
        self.ways.connect(self._key, lambda key: as_ui_error(lambda: self.item(key)), others)
        states = [training.filled, training.followed]

        def use(key: str) -> list[Any]:
            settings, told = as_ui_error(lambda: settings_of(self.services, self.item(key)))
            for sentence in told:
                inform(sentence)
            return [*training.training.prefill(settings), *_filled(settings), gr.Tabs(selected="train")]

        def resume(key: str, request: gr.Request) -> Any:
            as_ui_error(lambda: self.resumed(key, owner_of(request)))
            return gr.Tabs(selected="train")

        answers(self._use.click, use, [self._key], [*training.training.inputs, *states, tabs])
        self._resume.click(resume, self._key, tabs, **QUIET)

    def item(self, key: str) -> Item:
        """Return the item of a kind and name.

        Raises:
            UnknownName: there is none.
        """
        kind, _, name = key.partition("/")
        return find(self.services.workspace, kind, name)

    def pick(self, event: gr.SelectData) -> Updates:
        """Show the pressed item. One that is gone is told."""
        return self.show(as_ui_error(lambda: self.item(str(event.value))))

    def show(self, item: Item) -> Updates:
        """Return updates that show this item."""
        return {
            self._key: f"{item.kind}/{item.name}",
            self._idle: gr.update(visible=False),
            self._whole: gr.update(visible=True),
            self._use: gr.update(visible=has_settings(item)),
            self._resume: gr.update(visible=self._is_resumable(item)),
            **self.ways.show(item),
            **self._details.show(item),
            **self._labels.show(item),
        }

    def save(self, key: str, name: str, tags: str, note: str) -> Updates:
        """Keep name, tags and note, and show the item as it is now."""
        item, told = as_ui_error(lambda: self._labels.keep(self.item(key), name, tags, note))
        inform(" ".join(told) or "Saved.")
        return self.show(item)

    def remove(self, key: str) -> Updates:
        """Move the item into the trash and offer to undo it."""
        gone = as_ui_error(lambda: delete(self.services.workspace, self.item(key)))
        inform(f"The {gone.kind} {gone.name} is in the trash ({file_size(gone.size_bytes)}).")
        return {
            self._key: "",
            self._idle: gr.update(visible=True),
            self._whole: gr.update(visible=False),
            self._trash_id: gone.id,
            self._undo_row: gr.update(visible=True),
        }

    def undo(self, trash_id: str) -> Updates:
        """Bring back what was deleted last."""
        as_ui_error(lambda: put_back(self.services.workspace, trash_id))
        return {self._trash_id: "", self._undo_row: gr.update(visible=False)}

    def zipped(self, key: str) -> str:
        """Write the item into a zip file in gradio's cache and return its path. A picture goes as it is."""
        item = as_ui_error(lambda: self.item(key))
        return (
            as_it_is(item.folder) if item.kind == "picture" else str(as_ui_error(lambda: self._archive(item)))
        )

    def resumed(self, key: str, owner: str) -> None:
        """Start the job that resumes a run, from the chosen checkpoint where one is chosen.

        Raises:
            DreamError: it can't be resumed, or another training runs.
        """
        item = self.item(key)
        step = int(item.figures["Step"]) if item.kind == "checkpoint" and "Step" in item.figures else None
        self.services.jobs.submit(resumed_job(self.services, item.run or item.name, step), owner, behind=True)

    def _is_resumable(self, item: Item) -> bool:
        resumes = item.kind == "run" or item.folder.parent.name == CHECKPOINTS
        if item.state == "broken" or not resumes:
            return False
        return can_resume(self.services.workspace, item.run or item.name)

    def _archive(self, item: Item) -> Path:
        if (size := archive_bytes(item)) > LARGEST_DOWNLOAD_BYTES:
            raise BadInput(
                f"{item.name} has {file_size(size)}; a browser downloads at most {file_size(LARGEST_DOWNLOAD_BYTES)}.",
                "Copy it out of the workspace's folder.",
            )
        name = f"{item.kind}-{item.name.replace('/', '-')}.zip"
        return archive(item, place_for(item.folder) / name)


def _button(label: str, elem_id: str) -> gr.Button:
    return gr.Button(label, size="sm", elem_id=elem_id, min_width=140)


def _filled(settings: Mapping[str, Any]) -> list[Any]:
    """Values of the Train tab's states: these choices were filled in."""
    choice = [settings.get("method"), settings.get("model")]
    return [choice if all(choice) else gr.skip(), settings.get("dataset") or gr.skip()]
