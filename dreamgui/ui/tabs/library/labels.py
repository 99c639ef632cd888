"""Closed accordion with an item's name, tags and note."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.library.item import NAMED_BY_PLACE, Item
from dreamgui.library.items import find
from dreamgui.library.labels import rename, set_note, set_tags
from dreamgui.library.marks import LONGEST_NOTE
from dreamgui.services import Services
from dreamgui.ui.parts.watch import Updates


class LabelFields:
    """Fields and the button that saves them.

    Attributes:
        save: the button.
        fields: name, tags and note.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        with gr.Accordion("Name, tags and note", open=False, elem_id="library-labels"):
            self._name = gr.Textbox(label="Name", elem_id="library-name", max_length=80)
            self._tags = gr.Textbox(label="Tags", info="Separated by commas.", elem_id="library-tags")
            self._note = gr.Textbox(label="Note", lines=2, elem_id="library-note", max_length=LONGEST_NOTE)
            self.save = gr.Button("Save", size="sm", elem_id="library-save")
        self.fields: list[Any] = [self._name, self._tags, self._note]

    def show(self, item: Item) -> Updates:
        """Return updates that put an item's name, tags and note into the fields."""
        return {
            self._name: gr.update(value=item.name, interactive=item.kind not in NAMED_BY_PLACE),
            self._tags: ", ".join(item.tags),
            self._note: item.note,
        }

    def keep(self, item: Item, name: str, tags: str, note: str) -> tuple[Item, list[str]]:
        """Keep what the fields hold.

        Returns:
            The item as it is now, and sentences on its name.

        Raises:
            DreamError: the name is none or the item is used; tags and note are kept by then.
        """
        set_tags(item, tags.split(","))
        set_note(item, note)
        told: list[str] = []
        now = item.name
        if item.kind not in NAMED_BY_PLACE:
            now, told = rename(self._services.workspace, item, name)
        return find(self._services.workspace, item.kind, now), told
