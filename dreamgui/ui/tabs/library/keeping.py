"""Trash and sizes, folded below the items."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.library.cleaning import Cleanable, clean, sizes
from dreamgui.library.items import items
from dreamgui.library.trash import DAYS_KEPT, restore, trashed
from dreamgui.services import Services
from dreamgui.sizes import file_size
from dreamgui.ui.parts.session import QUIET, as_ui_error
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.watch import Updates
from dreamgui.ui.tabs.library.markup import sizes_table, trash_choices

_TOLD: dict[Cleanable, str] = {
    "checkpoints": "{} of checkpoints are in the trash.",
    "compiled": "{} freed.",
    "trash": "{} freed.",
}


class Keeping:
    """Two closed accordions: the trash with Restore, and sizes with what can be cleaned.

    Attributes:
        changed: buttons after which the items are shown anew.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        with gr.Column(elem_classes="dg-groups"):
            with gr.Accordion("Trash", open=False, elem_id="library-trash") as trash:
                self._deleted = gr.Dropdown(
                    [], label="Deleted", info=f"Kept for {DAYS_KEPT} days.", elem_id="library-deleted"
                )
                with gr.Row(elem_classes="dg-buttons"):
                    restoring = gr.Button("Restore", size="sm", elem_id="library-restore", min_width=110)
                    emptying = gr.Button("Empty the trash", size="sm", elem_id="library-empty", min_width=110)
            with gr.Accordion("Sizes", open=False, elem_id="library-sizes") as folded:
                self._table = gr.HTML(elem_id="library-sizes-table")
                with gr.Row(elem_classes="dg-buttons"):
                    old = gr.Button(
                        "Old checkpoints to trash",
                        size="sm",
                        elem_id="library-clean-checkpoints",
                        min_width=110,
                    )
                    cache = gr.Button(
                        "Clear compiler cache", size="sm", elem_id="library-clean-cache", min_width=110
                    )
        for event in (trash.expand, folded.expand):
            event(self.show, None, self.outputs, **QUIET)
        self._cleans(cache, "compiled")
        self.changed = [
            restoring.click(lambda trash_id: self._restore(trash_id), self._deleted, None, **QUIET),
            self._cleans(emptying, "trash"),
            self._cleans(old, "checkpoints"),
        ]

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [self._deleted, self._table]

    def show(self) -> Updates:
        """Return updates with the trash and the sizes as they are now."""
        choices = trash_choices(trashed(self._services.workspace))
        return {
            self._deleted: gr.update(choices=choices, value=choices[0][1] if choices else None),
            self._table: sizes_table(sizes(self._services.workspace, items(self._services.workspace))),
        }

    def _restore(self, trash_id: str | None) -> None:
        as_ui_error(lambda: put_back(self._services.workspace, trash_id or ""))

    def _cleans(self, button: gr.Button, what: Cleanable) -> Any:
        def press() -> Updates:
            found = items(self._services.workspace)
            size = as_ui_error(lambda: clean(self._services.workspace, what, found))
            inform(_TOLD[what].format(file_size(size)))
            return self.show()

        return button.click(press, None, self.outputs, **QUIET)


def put_back(workspace: Any, trash_id: str) -> None:
    """Restore a deleted item and tell the page its name.

    Raises:
        DreamError: as :func:`dreamgui.library.trash.restore`.
    """
    was, name, told = restore(workspace, trash_id)
    inform(" ".join([f"Restored the {was.kind} {name}.", *told]))
