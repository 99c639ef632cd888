"""Comparison as a table of pictures: a row per model, a column per prompt. Cells fill as they are generated.

Pictures reach the browser as gradio's files. The HTML numbers their places, and a fixed template fills in the
addresses.
"""

from __future__ import annotations

from html import escape
from itertools import takewhile
from pathlib import Path
from typing import Any

from dreamgui.config import SEED_STRIDE, CompareJob
from dreamgui.events import Cell, Score
from dreamgui.names import composed
from dreamgui.ui.parts.pictures import THUMB_PX, file_data
from dreamgui.ui.parts.stream import JobView

TEMPLATE = (
    '${value && value.html ? value.html.replace(/data-file="(\\d+)"/g, '
    "(all, i) => 'src=\"' + value.files[i].url + '\"') : ''}"
)


def grid(view: JobView) -> dict[str, Any]:
    """Return the table's HTML with numbered places, and the files for them."""
    if view.job is None or not isinstance(view.job.config, CompareJob):
        return {"html": "", "files": []}
    job, prompts = view.job.config, prompts_of(view)
    cells: dict[tuple[str, str, int], tuple[int, Cell]] = {}
    start = next((cell.seed for cell in view.all(Cell)), job.seed)
    for number, cell in enumerate(view.all(Cell)):
        cells[cell.model, cell.prompt, cell.seed - start] = number, cell
    scores = {score.model: score.values for score in view.all(Score)}
    files: list[dict[str, Any]] = []
    rows = []
    for model in models_of(view):
        row = [_model_head(model, scores.get(model, {}))]
        for column, prompt in enumerate(prompts):
            row.append(_cell(cells.get((model, prompt, column)), files))
        rows.append(f"<tr>{''.join(row)}</tr>")
    titles = zip(prompts, short_prompts(prompts), strict=True)
    head = "".join(f'<th scope="col" title="{escape(full)}">{escape(short)}</th>' for full, short in titles)
    html = f'<div class="dg-scroll"><table class="dg-grid"><thead><tr><th></th>{head}</tr></thead>'
    return {"html": f"{html}<tbody>{''.join(rows)}</tbody></table></div>", "files": files}


def _model_head(model: str, figures: dict[str, float | None]) -> str:
    likeness = figures.get("likeness")
    bar = ""
    if likeness is not None:
        low, high = figures.get("likeness_low"), figures.get("likeness_high")
        spread = f"<br>{low:.2f} to {high:.2f}" if low is not None and high is not None else ""
        bar = (
            f'<span class="dg-score">Likeness <b>{likeness:.2f}</b>{spread}</span>'
            f'<span class="dg-meter"><i style="width:{100 * max(0.0, min(1.0, likeness)):.0f}%"></i></span>'
        )
    return f'<th scope="row"><span class="dg-name">{escape(model)}</span>{bar}</th>'


def _cell(numbered: tuple[int, Cell] | None, files: list[dict[str, Any]]) -> str:
    """Return a cell: a button that is numbered as its picture is among the view's, for its enlarged picture."""
    number, cell = numbered or (0, None)
    if cell is None or not isinstance(cell.image, Path) or not cell.image.is_file():
        return '<td><div class="dg-empty"></div></td>'
    files.append(file_data(cell.image, THUMB_PX))
    alt = escape(f"{cell.model}: {cell.prompt}")
    likeness = cell.scores.get("likeness")
    note = f"<span>{likeness:.2f}</span>" if likeness is not None else ""
    picture = f'<img data-file="{len(files) - 1}" alt="{alt}">{note}'
    button = f'<button type="button" data-cell="{number}" title="Enlarge: {alt}">{picture}</button>'
    return f"<td><figure>{button}</figure></td>"


def models_of(view: JobView) -> tuple[str, ...]:
    """Return a comparison's models in their order. Those of a report that is repeated come with its pictures."""
    job = view.job.config if view.job else None
    if not isinstance(job, CompareJob):
        return ()
    many = job.from_ or job.strengths or len(job.samplers) > 1 or len(job.guidances) > 1
    asked = () if many else map(composed, job.models)
    return tuple(dict.fromkeys([*asked, *(cell.model for cell in view.all(Cell))]))


def prompts_of(view: JobView) -> tuple[str, ...]:
    """Return a comparison's prompts: those of its pictures, as prompts that weren't given follow the run, or those of
    the job before the first picture."""
    job = view.job.config if view.job else None
    if not isinstance(job, CompareJob):
        return ()
    cells = [cell for cell in view.all(Cell) if cell.model == models_of(view)[0]]
    start = cells[0].seed if cells else job.seed
    first = [cell.prompt for cell in cells if cell.seed - start < SEED_STRIDE]
    if job.from_:
        return tuple(first)
    return job.prompts if job.prompts[: len(first)] == tuple(first) else tuple(first)


def short_prompts(prompts: tuple[str, ...]) -> list[str]:
    """Return the prompts without the words that all of them begin with. A prompt that would be empty stays whole."""
    words = [prompt.split() for prompt in prompts]
    alike = takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    common = len(list(alike)) if len(words) > 1 else 0
    return [" ".join(each[common:]) if len(each) > common else " ".join(each) for each in words]
