"""Figures of a comparison: a row a metric, a column a model, and the definition of each."""

from __future__ import annotations

from html import escape

from dreamgui.evaluate.metrics import Metric, measured
from dreamgui.events import Score
from dreamgui.ui.parts.stream import JobView

_ARROWS = {"higher is better": "↑", "lower is better": "↓"}


def figures_html(view: JobView) -> str:
    """Return the figures of all models so far, each with its interval, and below them what each is, or "" without one."""
    rows = {score.model: score.values for score in view.all(Score)}
    metrics = measured(rows)
    if not metrics:
        return ""
    head = "".join(f'<th scope="col">{escape(model)}</th>' for model in rows)
    body = "".join(
        f"<tr>{_title(metric)}{''.join(f'<td>{metric.text(row)}</td>' for row in rows.values())}</tr>"
        for metric in metrics
    )
    table = f'<table class="dg-table"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>'
    definitions = "".join(
        f"<dt>{escape(metric.title)}</dt><dd>{escape(definition(metric))}</dd>" for metric in metrics
    )
    about = f"<details><summary>Definitions of the figures</summary><dl>{definitions}</dl></details>"
    return f'<div class="dg-scroll">{table}</div>{about}'


def definition(metric: Metric) -> str:
    """Return a metric's formula, range, direction, embedder and source in a line."""
    embedder = f" Embedder: {metric.embedder}." if metric.embedder else ""
    return f"{metric.formula}. Range: {metric.extent}; {metric.direction}.{embedder} Source: {metric.source}."


def _title(metric: Metric) -> str:
    arrow = _ARROWS.get(metric.direction, "")
    return f'<th scope="row" title="{escape(definition(metric))}">{escape(metric.title)} {arrow}</th>'
