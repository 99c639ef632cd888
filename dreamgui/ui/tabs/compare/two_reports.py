"""Two reports of the workspace side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from dreamgui.evaluate.earlier.two_reports import Row, differing_figures, differing_settings, is_comparable
from dreamgui.services import Services
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.results.report_data import report_data


class TwoReports:
    """Two reports, chosen when the section is opened, and what differs between them.

    Args:
        services: with the workspace of the reports.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        with gr.Accordion("Two reports", open=False, elem_id="compare-reports") as section:
            with gr.Row():
                self._one = gr.Dropdown(label="First report", elem_id="compare-report-one", min_width=140)
                self._other = gr.Dropdown(
                    label="Second report", elem_id="compare-report-other", min_width=140
                )
            self._found = gr.HTML("", elem_id="compare-reports-found")
        both: list[Any] = [self._one, self._other]
        section.expand(self.offer, None, [*both, self._found], **QUIET)
        for dropdown in both:
            dropdown.input(self.compared, both, self._found, **QUIET)

    def offer(self) -> list[Any]:
        """Return the reports to choose from, the newest two chosen, and what differs between them."""
        workspace = self._services.workspace
        names = [name for name in workspace.names("reports") if is_comparable(report_data(workspace, name))]
        one, other = (names[-2] if len(names) > 1 else None), (names[-1] if names else None)
        updates = [gr.update(choices=names, value=each) for each in (one, other)]
        return [*updates, self.compared(one, other)]

    def compared(self, one: str | None, other: str | None) -> str:
        """Return what differs between two reports as HTML."""
        if not one or not other:
            return "<p>Compare twice, then choose both reports here.</p>"
        if one == other:
            return "<p>Choose two different reports.</p>"
        first, second = (report_data(self._services.workspace, name) for name in (one, other))
        titles = escape(one), escape(other)
        settings, figures = differing_settings(first, second), differing_figures(first, second)
        return _table("Settings that differ", titles, settings) + _table(
            "Figures that differ", titles, figures, True
        )


def _table(title: str, titles: tuple[str, str], rows: Sequence[Row], paired: bool = False) -> str:
    if not rows:
        return f"<p>{title}: none.</p>"
    last = '<th scope="col">Second less first [95 %]</th>' if paired else ""
    head = "".join(f'<th scope="col">{name}</th>' for name in titles)
    body = "".join(
        f'<tr><th scope="row">{escape(row.name)}</th><td>{escape(row.one)}</td><td>{escape(row.other)}</td>'
        f"{f'<td>{escape(row.sentence)}</td>' if paired else ''}</tr>"
        for row in rows
    )
    table = f'<table class="dg-table"><caption>{title}</caption><thead><tr><th></th>{head}{last}</tr></thead>'
    return f'<div class="dg-scroll">{table}<tbody>{body}</tbody></table></div>'
