"""Pictures of a ControlNet job: maps and pictures side by side, or a table with a column a strength."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from dreamgui.config import ControlJob
from dreamgui.events import Cell, ControlMap
from dreamgui.ui.parts.pictures import THUMB_PX, file_data
from dreamgui.ui.parts.pictures import gallery as gallery_of
from dreamgui.ui.parts.stream import JobView

FIGURES = {"edge_recall": "edges", "pose_within": "pose", "likeness": "likeness"}
"""Short names of a picture's figures; all are from 0 to 1."""


def scales_of(view: JobView) -> tuple[float, ...]:
    """Return the strengths of a view's job, or none without one."""
    job = view.job.config if view.job else None
    return job.scales if isinstance(job, ControlJob) else ()


def control_results(view: JobView) -> list[tuple[str, str]]:
    """Return the maps, then the pictures of a job at one strength, with captions."""
    maps = [(item.image, f"{item.control} map") for item in view.all(ControlMap)]
    cells = view.all(Cell) if len(scales_of(view)) < 2 else []
    return gallery_of([*maps, *((cell.image, _caption(cell)) for cell in cells)])


def _caption(cell: Cell) -> str:
    return ", ".join(part for part in (cell.model, figures_line(cell)) if part)


def figures_line(cell: Cell) -> str:
    """Return a picture's figures in a few words, empty where nothing was measured."""
    found = {name: cell.scores.get(name) for name in FIGURES}
    return ", ".join(f"{FIGURES[name]} {value:.2f}" for name, value in found.items() if value is not None)


def strength_grid(view: JobView) -> dict[str, Any]:
    """Return a table's HTML with numbered places, and the files for them: a row a model, a column a strength."""
    scales = scales_of(view)
    if len(scales) < 2:
        return {"html": "", "files": []}
    cells = {(cell.model, cell.scores.get("strength")): cell for cell in view.all(Cell)}
    files: list[dict[str, Any]] = []
    rows = []
    for model in dict.fromkeys(cell.model for cell in view.all(Cell)):
        shown = "".join(_cell(cells.get((model, scale)), files) for scale in scales)
        head = f'<th scope="row"><span class="dg-name">{escape(model)}</span></th>'
        rows.append(f"<tr>{head}{shown}</tr>")
    titles = "".join(f'<th scope="col">strength {scale:g}</th>' for scale in scales)
    html = f'<div class="dg-scroll"><table class="dg-grid"><thead><tr><th></th>{titles}</tr></thead>'
    return {"html": f"{html}<tbody>{''.join(rows)}</tbody></table></div>", "files": files}


def _cell(cell: Cell | None, files: list[dict[str, Any]]) -> str:
    if cell is None or not isinstance(cell.image, Path) or not cell.image.is_file():
        return '<td><div class="dg-empty"></div></td>'
    files.append(file_data(cell.image, THUMB_PX))
    alt = escape(f"{cell.model} at strength {cell.scores.get('strength') or 0:g}")
    line = figures_line(cell)
    note = f"<span>{escape(line)}</span>" if line else ""
    return f'<td><figure><img data-file="{len(files) - 1}" alt="{alt}" title="{alt}">{note}</figure></td>'
