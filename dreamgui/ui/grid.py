"""The comparison as a table of pictures: a row a model, a column a prompt; cells fill as they are drawn.

Pictures reach the browser as gradio's files; the HTML only says where each one goes, and a fixed template
puts their addresses in.
"""

from __future__ import annotations

from html import escape
from itertools import takewhile
from pathlib import Path
from typing import Any

from dreamgui.config import CompareJob
from dreamgui.events import Cell, Score
from dreamgui.ui.pictures import THUMB_PX, file_data
from dreamgui.ui.stream import JobView

TEMPLATE = (
    '${value && value.html ? value.html.replace(/data-file="(\\d+)"/g, '
    "(all, i) => 'src=\"' + value.files[i].url + '\"') : ''}"
)


def grid(view: JobView) -> dict[str, Any]:
    """The table's HTML with numbered places, and the files for them."""
    if view.job is None or not isinstance(view.job.config, CompareJob):
        return {"html": "", "files": []}
    job = view.job.config
    cells = {(cell.model, cell.prompt, cell.seed): cell for cell in view.all(Cell)}
    scores = {score.model: score.values for score in view.all(Score)}
    files: list[dict[str, Any]] = []
    rows = []
    for model in dict.fromkeys(job.models):
        row = [_model_head(model, scores.get(model, {}))]
        for column, prompt in enumerate(job.prompts):
            row.append(_cell(cells.get((model, prompt, job.seed + column)), files))
        rows.append(f"<tr>{''.join(row)}</tr>")
    titles = zip(job.prompts, short_prompts(job.prompts), strict=True)
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


def _cell(cell: Cell | None, files: list[dict[str, Any]]) -> str:
    if cell is None or not isinstance(cell.image, Path) or not cell.image.is_file():
        return '<td><div class="dg-empty"></div></td>'
    files.append(file_data(cell.image, THUMB_PX))
    alt = escape(f"{cell.model}: {cell.prompt}")
    likeness = cell.scores.get("likeness")
    note = f"<span>{likeness:.2f}</span>" if likeness is not None else ""
    return f'<td><figure><img data-file="{len(files) - 1}" alt="{alt}" title="{alt}">{note}</figure></td>'


def short_prompts(prompts: tuple[str, ...]) -> list[str]:
    """The prompts without the words that all of them begin with, where something is left of each."""
    words = [prompt.split() for prompt in prompts]
    alike = takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    common = len(list(alike)) if len(words) > 1 else 0
    return [" ".join(each[common:]) if len(each) > common else " ".join(each) for each in words]
