"""Kept pictures in a gallery. A chosen one shows how it was made, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from dreamgui.errors import DreamError
from dreamgui.pictures.made import parameters
from dreamgui.pictures.store import Found, picture_path, put_back, read_picture, remove
from dreamgui.services import Services
from dreamgui.ui.parts.pictures import as_it_is
from dreamgui.ui.parts.session import QUIET, as_ui_error
from dreamgui.ui.parts.toasts import warn
from dreamgui.ui.parts.watch import Updates

Shown = Sequence[tuple[str, str, str]]
"""Name of a kept picture ("" where it isn't kept), path of what is shown, and caption."""


class PictureShelf:
    """A gallery of pictures and the actions on the chosen one.

    Attributes:
        picked: the chosen picture's name, as text; "" before one is chosen.
        use, again, start, control, compare: buttons that the tab listens to.
    """

    def __init__(self, services: Services, prefix: str) -> None:
        self._services = services
        self._names = gr.State([])
        self.picked = gr.State("")
        self._removed = gr.State("")
        self._gallery = gr.Gallery(
            show_label=False,
            elem_id=f"{prefix}-gallery",
            columns=4,
            object_fit="contain",
            height="auto",
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
        )
        with gr.Row(visible=False, elem_classes="dg-buttons", elem_id=f"{prefix}-undo-row") as self._undo_row:
            self._undo = gr.Button("Undo delete", size="sm", elem_id=f"{prefix}-undo", min_width=110)
        with gr.Column(
            visible=False, elem_id=f"{prefix}-picked", elem_classes=["dg-card", "dg-picked"]
        ) as self._chosen:
            self._details = gr.HTML(elem_id=f"{prefix}-details")
            with gr.Row(elem_classes="dg-buttons"):
                self.use = _button("Use settings", f"{prefix}-use")
                self.again = _button("Another seed", f"{prefix}-again")
                self.start = _button("As start image", f"{prefix}-start-image")
                self.control = _button("To ControlNet", f"{prefix}-control")
                self.compare = _button("To Compare", f"{prefix}-compare")
                self._download = gr.DownloadButton(
                    "Download PNG", size="sm", elem_id=f"{prefix}-download", min_width=110
                )
                self._delete = _button("Delete", f"{prefix}-delete")
        self._gallery.select(self._pick, self._names, self._of_pick, **QUIET)
        changed = [self._gallery, self._names, *self._of_pick, self._removed, self._undo_row]
        self._delete.click(self._remove, [self.picked, self._names, self._gallery], changed, **QUIET)
        self._undo.click(self._put_back, self._removed, [self._removed, self._undo_row], **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [self._gallery, self._names, self._chosen, self.picked]

    @property
    def restored(self) -> Any:
        """The event after an undone deletion."""
        return self._undo.click

    @property
    def _of_pick(self) -> list[Any]:
        return [self.picked, self._chosen, self._details, self._download]

    def show(self, pictures: Shown) -> Updates:
        """Return updates that show these pictures, none of them chosen."""
        return {
            self._gallery: gr.update(
                value=[(path, caption) for _, path, caption in pictures],
                visible=bool(pictures),
                selected_index=None,
            ),
            self._names: [name for name, _, _ in pictures],
            self._chosen: gr.update(visible=False),
            self.picked: "",
        }

    def read(self, name: str) -> Found:
        """Read a kept picture's texts.

        Raises:
            UnknownName: it isn't there any more.
            BadPhoto: it can't be read.
        """
        return read_picture(picture_path(self._services.workspace, name))

    def file(self, name: str) -> str:
        """Return a copy of a kept picture that the browser may have, with its texts.

        Raises:
            UnknownName: it isn't there any more.
        """
        return as_it_is(picture_path(self._services.workspace, name))

    def _pick(self, names: list[str], picked: gr.SelectData) -> Updates:
        name = names[int(picked.index)] if int(picked.index) < len(names) else ""
        if not name:
            return {self.picked: "", self._chosen: gr.update(visible=False)}
        try:
            found = self.read(name)
            return {
                self.picked: name,
                self._chosen: gr.update(visible=True),
                self._details: details(found),
                self._download: gr.update(value=self.file(name)),
            }
        except DreamError as error:
            warn(str(error))
            return {self.picked: "", self._chosen: gr.update(visible=False)}

    def _remove(self, name: str, names: list[str], shown: list[Any]) -> Updates:
        as_ui_error(lambda: remove(self._services.workspace, name))
        place = names.index(name) if name in names else -1
        left = [(names[n], *item) for n, item in enumerate(shown or []) if n != place and n < len(names)]
        return {
            **self.show(left),
            self._removed: name,
            self._undo_row: gr.update(visible=True),
        }

    def _put_back(self, name: str) -> Updates:
        as_ui_error(lambda: put_back(self._services.workspace, name))
        return {self._removed: "", self._undo_row: gr.update(visible=False)}


def _button(label: str, elem_id: str) -> gr.Button:
    return gr.Button(label, size="sm", elem_id=elem_id, min_width=110)


def details(found: Found) -> str:
    """Return how a picture was made as HTML."""
    figures = ", ".join(
        f"{name.replace('_', ' ')} {value:.2f}"
        for name, value in found.figures.items()
        if isinstance(value, int | float)
    )
    measured = f"<p>{escape(figures)}</p>" if figures else ""
    lines = "<br>".join(escape(line) for line in parameters(found.made).split("\n"))
    return f'<div class="dg-line"><p>{lines}</p>{measured}</div>'
