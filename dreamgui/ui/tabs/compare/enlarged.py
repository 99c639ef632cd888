"""A cell of the comparison's grid, enlarged over the page: its whole picture with model, prompt and seed."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.events import Cell
from dreamgui.ui.parts.pictures import file_data
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.results.grid import TEMPLATE

PRESS = """element.addEventListener('click', event => {
  const cell = event.target.closest('[data-cell]');
  if (cell) trigger('select', {index: 0, value: cell.dataset.cell});
});"""
"""Script of the grid: a press on a cell is its select event."""
# A dialog stands above the page, keeps the focus, and gives it back to the cell.
_CLOSE = "element.addEventListener('click', () => element.querySelector('dialog')?.close());"
_OPEN = """() => {
  const look = tries => {
    const dialog = document.querySelector('#compare-enlarged dialog');
    if (dialog && !dialog.open) dialog.showModal();
    else if (!dialog && tries) setTimeout(look, 50, tries - 1);
  };
  look(40);
}"""


class Enlarged:
    """Dialog with the pressed cell's picture in all its pixels. Esc, or a press anywhere, closes it."""

    def __init__(self, grid: gr.HTML, view: Callable[[], JobView]) -> None:
        """Place the dialog.

        Args:
            grid: the grid with :data:`PRESS`, whose cells are numbered as in the view.
            view: gives the comparison that the grid shows.
        """
        self._view = view
        self._box = gr.HTML(None, html_template=TEMPLATE, elem_id="compare-enlarged", js_on_load=_CLOSE)
        grid.select(self._show, None, self._box, **QUIET).success(None, js=_OPEN, **QUIET)

    def _show(self, pressed: gr.SelectData) -> dict[str, Any]:
        return enlarged(self._view().all(Cell), str(pressed.value))


def enlarged(cells: list[Cell], number: str) -> dict[str, Any]:
    """Return the dialog's HTML with a numbered place for the picture, and its file. Return nothing for a cell without one."""
    cell = cells[int(number)] if number.isdecimal() and int(number) < len(cells) else None
    if cell is None or not isinstance(cell.image, Path) or not cell.image.is_file():
        return {"html": "", "files": []}
    told = escape(f"{cell.model}, seed {cell.seed}: {cell.prompt}")
    likeness = cell.scores.get("likeness")
    score = f" Likeness {likeness:.2f}." if likeness is not None else ""
    html = (
        f'<dialog class="dg-enlarged" aria-label="{told}"><img data-file="0" alt="{told}">'
        f'<p>{told}.{score}</p><button type="button">Close</button></dialog>'
    )
    return {"html": html, "files": [file_data(cell.image)]}
