"""Details of the chosen item: figures, settings, a run's curve, samples and log, a dataset's crops, a report's page."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.data.dataset.entry import Sheet
from dreamgui.errors import DreamError
from dreamgui.events import Loss, Progress, SampleLikeness
from dreamgui.library.history import run_events
from dreamgui.library.item import Item
from dreamgui.library.reading import read_json_file
from dreamgui.models.catalog.cards import RUN_CARD, RunCard
from dreamgui.pictures.store import read_picture
from dreamgui.services import Services
from dreamgui.ui.parts.pictures import THUMB_PX, as_it_is, gallery
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.watch import Updates
from dreamgui.ui.results.curve import curve_of, likeness_of, likeness_plot, loss_plot
from dreamgui.ui.tabs.library.markup import details, log_tail, report_page, settings_list
from dreamgui.ui.tabs.train.tab import sample_update

CROPS_SHOWN, CROP_COLUMNS = 60, 6
LARGEST_PAGE_BYTES = 30_000_000
"""A report's page travels as one text."""


class Details:
    """Components that show one item."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._facts = gr.HTML(elem_id="library-details")
        self._curve = loss_plot("library-loss")
        self._likeness = likeness_plot("library-likeness")
        self._pictures = gr.Gallery(
            show_label=False,
            elem_id="library-pictures",
            columns=2,
            object_fit="contain",
            height="auto",
            interactive=False,
            visible=False,
        )
        self._more = gr.HTML(elem_id="library-settings")
        self._page = gr.HTML(elem_id="library-report")

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [self._facts, self._curve, self._likeness, self._pictures, self._more, self._page]

    def show(self, item: Item) -> Updates:
        """Return updates that show this item."""
        empty: Updates = {
            self._curve: gr.update(visible=False),
            self._likeness: gr.update(visible=False),
            self._pictures: gr.update(value=[], visible=False),
            self._more: "",
            self._page: "",
        }
        show = {
            "run": self._run,
            "dataset": self._dataset,
            "report": self._report,
            "picture": self._picture,
        }.get(item.kind)
        try:
            more = show(item) if show else {}
        except DreamError as error:
            more = {self._more: f'<p class="dg-line">{escape(str(error))}</p>'}
        return {self._facts: details(item), **empty, **more}

    def _run(self, item: Item) -> Updates:
        view = JobView()
        events = run_events(self._services.workspace, item.folder)
        view.take(events)
        total = max((each.total for each in view.all(Progress) if each.label == "Training"), default=0)
        card: RunCard | None = read_json_file(item.folder / RUN_CARD, RunCard).content
        return {
            self._curve: curve_of(view.all(Loss), total),
            self._likeness: likeness_of(view.all(SampleLikeness), total),
            self._pictures: sample_update(view),
            self._more: settings_list(card.job if card else {}) + log_tail(events),
        }

    def _dataset(self, item: Item) -> Updates:
        sheet: Sheet | None = read_json_file(item.folder / "dataset.json", Sheet).content
        if sheet is None:
            return {}
        crops = [entry for entry in sheet.entries if not entry.dropped][:CROPS_SHOWN]
        pictures = gallery(((item.folder / entry.place, entry.caption) for entry in crops), THUMB_PX)
        return {
            self._pictures: gr.update(value=pictures, visible=bool(pictures), columns=CROP_COLUMNS),
            self._more: settings_list({"instance_prompt": sheet.instance_prompt, "size_px": sheet.size_px}),
        }

    def _picture(self, item: Item) -> Updates:
        found = read_picture(item.folder)
        made = {
            "seed": found.made.seed,
            "steps": found.made.steps,
            "guidance_scale": found.made.guidance_scale,
        }
        settings = dict(found.job) or {**made, "negative_prompt": found.made.negative_prompt}
        return {
            self._pictures: gr.update(value=[(as_it_is(item.folder), "")], visible=True, columns=1),
            self._more: settings_list(settings | dict(found.figures)),
        }

    def _report(self, item: Item) -> Updates:
        data = read_json_file(item.folder / "report.json").content or {}
        settings = next((each for key in ("settings", "job") if isinstance(each := data.get(key), dict)), {})
        return {self._page: _page_of(item.folder / "index.html"), self._more: settings_list(settings)}


def _page_of(path: Path) -> str:
    """The report's page, or a sentence where it is too large for the browser, or nothing where there is none."""
    try:
        if path.stat().st_size > LARGEST_PAGE_BYTES:
            return '<p class="dg-line">The report is too large to be shown here. Download it.</p>'
        return report_page(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
