"""Pictures of all days, with a filter by words of the prompt and by model."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.pictures.store import Summary, picture_path, summaries
from dreamgui.services import Services
from dreamgui.ui.parts.pictures import THUMB_PX, shown
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.watch import Updates
from dreamgui.ui.tabs.generate.shelf import PictureShelf

PAGE = 48
ALL = "All models"


class KeptPictures:
    """Closed accordion with the kept pictures, newest first, some at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        with gr.Accordion("Kept pictures", open=False, elem_id="kept") as self._all:
            with gr.Row():
                self._words = gr.Textbox(
                    label="Filter", placeholder="Words of the prompt", elem_id="kept-words", min_width=140
                )
                self._model = gr.Dropdown(
                    [ALL], value=ALL, label="Model", elem_id="kept-model", min_width=140
                )
            self.shelf = PictureShelf(services, "kept")
            self._more = gr.Button("Show more", size="sm", visible=False, elem_id="kept-more")
        self._count = gr.State(PAGE)
        filters: list[Any] = [self._words, self._model]
        asked = [self._all.expand, self._words.change, self._model.input, self.shelf.restored]
        # One listener for all: the browser keeps the newest question, so no older answer comes last.
        gr.on(asked, self._first, filters, self.outputs, trigger_mode="always_last", **QUIET)
        self._more.click(self._further, [*filters, self._count], self.outputs, **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """Components that change with the filter."""
        return [*self.shelf.outputs, self._more, self._count, self._model]

    def _first(self, words: str | None, model: str) -> Updates:
        return self._shown(words or "", model, PAGE)

    def _further(self, words: str | None, model: str, count: int) -> Updates:
        return self._shown(words or "", model, count + PAGE)

    def _shown(self, words: str, model: str, count: int) -> Updates:
        everything = summaries(self._services.workspace)
        models = sorted({each.model for each in everything if each.model})
        found = [each for each in everything if _fits(each, words, model)]
        pictures = [
            (each.name, shown(picture_path(self._services.workspace, each.name), THUMB_PX), each.model)
            for each in found[:count]
        ]
        return {
            **self.shelf.show(pictures),
            self._more: gr.update(visible=len(found) > count, value=f"Show more of {len(found)}"),
            self._count: count,
            self._model: gr.update(choices=[ALL, *models]),
        }


def _fits(summary: Summary, words: str, model: str) -> bool:
    text = summary.prompt.lower()
    return model in (ALL, summary.model) and all(word in text for word in words.lower().split())
