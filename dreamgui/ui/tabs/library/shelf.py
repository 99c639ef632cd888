"""Items as a grid of buttons, with a filter by kind and by words."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.library.item import KINDS as ALL_KINDS
from dreamgui.library.item import NAMED_BY_PLACE, Item
from dreamgui.library.items import items
from dreamgui.services import Services
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.watch import Updates
from dreamgui.ui.results.grid import TEMPLATE
from dreamgui.ui.tabs.library.markup import KIND_WORDS, key_of, tiles

PAGE = 48
KINDS = [("Overview", ""), *((f"{word}s", kind) for kind, word in KIND_WORDS.items())]
EMPTY = "Nothing yet. Datasets, models, runs and reports appear here once they are made."
NO_MATCH = "Nothing matches the filter."
_PRESS = """element.addEventListener('click', event => {
  const item = event.target.closest('[data-item]');
  if (!item) return;
  element.querySelectorAll('[aria-pressed]').forEach(each => each.removeAttribute('aria-pressed'));
  item.setAttribute('aria-pressed', 'true');
  trigger('select', {index: 0, value: item.dataset.item});
  globalThis.dreamgui?.reveal('#library-chosen');
});"""


class Shelf:
    """Filter and grid.

    Attributes:
        filters: widgets whose values :meth:`first` takes.
        grid: its ``select`` event carries the kind and name of the pressed item.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        kind = gr.Radio(KINDS, value="", show_label=False, label="Kind", elem_id="library-kind")
        words = gr.Textbox(
            label="Filter", placeholder="Name, person, prompt, tag or note", elem_id="library-words"
        )
        self.filters: list[Any] = [kind, words]
        # Empty until the items have come: the page opens once it shows them, or that there are none.
        self.grid = gr.HTML(None, html_template=TEMPLATE, elem_id="library-grid", js_on_load=_PRESS)
        self._more = gr.Button("Show more", size="sm", visible=False, elem_id="library-more")
        self._count = gr.State(PAGE)
        self._asked = gr.Textbox(visible="hidden", elem_id="library-asked")
        self._filtered = [kind.input, words.change, self._asked.change]
        self._more.click(self._further, [*self.filters, self._count], self.outputs, **QUIET)

    def show_at(self, *events: Any) -> None:
        """Show the items at these events and whenever the filter changes, as the filter then is.

        One listener for all: while it answers, the browser keeps the newest question, so no older answer comes last.
        """
        triggers = [*self._filtered, *events]
        gr.on(triggers, self.first, self.filters, self.outputs, trigger_mode="always_last", **QUIET)

    def show_after(self, event: Any) -> None:
        """Show the items anew once a listener has succeeded."""
        event.success(None, None, self._asked, js="() => String(performance.now())", **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`first` changes."""
        return [self.grid, self._more, self._count]

    def first(self, kind: str, words: str | None) -> Updates:
        """Return updates that show the newest items that match the filter. "" is an overview, without checkpoints and
        pictures."""
        return self._shown(kind, words or "", PAGE)

    def _further(self, kind: str, words: str | None, count: int) -> Updates:
        return self._shown(kind, words or "", count + PAGE)

    def _shown(self, kind: str, words: str, count: int) -> Updates:
        kinds = [each for each in ALL_KINDS if (each == kind if kind else each not in NAMED_BY_PLACE)]
        found = [item for item in items(self._services.workspace, kinds) if fits(item, words)]
        nothing = NO_MATCH if kind or words.strip() else EMPTY
        return {
            self.grid: tiles(found[:count], nothing),
            self._more: gr.update(visible=len(found) > count, value=f"Show more of {len(found)}"),
            self._count: count,
        }


def fits(item: Item, words: str) -> bool:
    """Return whether an item's kind, name, person, state, note and tags have all of these words."""
    text = " ".join(
        (key_of(item), item.who, item.state, item.note, *item.tags, item.figures.get("Prompt", ""))
    ).casefold()
    return all(word in text for word in words.casefold().split())
