"""Ways from an item of the library to the other tabs: generate, compare, export, push, a picture's settings, a preset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr

from dreamgui.config.generate import RANDOM_SEED
from dreamgui.library.item import Item
from dreamgui.models.catalog.cards import RunCard
from dreamgui.pictures.store import read_picture
from dreamgui.presets.shelf import save_preset
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.session import QUIET, as_ui_error, owner_of
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.watch import Updates
from dreamgui.ui.tabs.generate.from_file import settings_of as settings_of_picture
from dreamgui.ui.tabs.library.reuse import has_settings, settings_of
from dreamgui.ui.tabs.to_compare import leads_to_compare
from dreamgui.ui.tabs.to_workshop import leads_to_workshop


class OtherForms(NamedTuple):
    """Forms of the other tabs that an item can be sent to, and the page's tabs."""

    generate: Form
    compare: Form
    export: Form
    push: Form
    tabs: gr.Tabs


class Ways:
    """Buttons below an item. Those that fit its kind are visible."""

    def __init__(self, services: Services) -> None:
        """Place the buttons."""
        self._services = services
        self._generate = _button("Generate", "library-generate")
        self._compare = _button("Compare", "library-compare")
        self._export = _button("Export", "library-export")
        self._push = _button("Push to the Hub", "library-push")
        self._again = _button("Another seed", "library-again")
        self._settings = _button("Use these settings", "library-picture-use")
        self._preset = _button("Save as preset", "library-preset")

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        of_run = [self._generate, self._compare, self._export, self._push]
        return [*of_run, self._again, self._settings, self._preset]

    def show(self, item: Item) -> Updates:
        """Return updates that show the buttons which fit an item."""
        ready = item.kind == "run" and item.state != "broken" and self._is_ready(item.name)
        picture = item.kind == "picture"
        shown = dict.fromkeys([self._export, self._push], ready)
        shown |= {self._generate: ready or (item.kind == "base" and not item.fault), self._compare: ready}
        shown |= dict.fromkeys([self._again, self._settings], picture)
        shown[self._preset] = item.kind == "run" and has_settings(item)
        return {button: gr.update(visible=visible) for button, visible in shown.items()}

    def connect(self, key: gr.State, item: Callable[[str], Item], others: OtherForms) -> None:
        """Connect the buttons.

        Args:
            key: kind and name of the chosen item.
            item: looks an item up by its key.
        """
        self._to_generate(key, others)
        for button, form in ((self._export, others.export), (self._push, others.push)):
            leads_to_workshop(button.click, key, form, others.tabs)
        leads_to_compare(self._services, self._compare.click, key, others.compare, others.tabs)
        self._of_pictures(key, item, others)
        self._preset.click(lambda key: self._keep(item(key)), key, None, **QUIET)

    def _to_generate(self, key: gr.State, others: OtherForms) -> None:
        """Let "Generate" choose the item as the model there, and open that tab."""
        form = others.generate
        answers(
            self._generate.click,
            lambda key: form.prefill({"model": key.partition("/")[2]}),
            [key],
            form.inputs,
        )
        self._generate.click(lambda: gr.Tabs(selected="generate"), None, others.tabs, **QUIET)

    def _of_pictures(self, key: gr.State, item: Callable[[str], Item], others: OtherForms) -> None:
        form = others.generate

        def settings(key: str) -> tuple[dict[str, Any], list[str]]:
            found = as_ui_error(lambda: read_picture(item(key).folder))
            return settings_of_picture(found, self._services.catalog)

        def use(key: str) -> list[Any]:
            values, remarks = settings(key)
            for sentence in remarks:
                inform(sentence)
            return form.prefill(values)

        def another(key: str, request: gr.Request) -> None:
            values = {**settings(key)[0], "seed": RANDOM_SEED, "count": 1}
            job = as_ui_error(lambda: form.with_values(values))
            as_ui_error(lambda: self._services.jobs.submit(job, owner_of(request), behind=True))

        answers(self._settings.click, use, [key], form.inputs)
        again = self._again.click(another, key, None, **QUIET)
        for event in (self._settings.click, again.success):
            event(lambda: gr.Tabs(selected="generate"), None, others.tabs, **QUIET)

    def _keep(self, item: Item) -> None:
        settings, _ = as_ui_error(lambda: settings_of(self._services, item))
        name = as_ui_error(lambda: save_preset(self._services.workspace, item.name, settings))
        inform(f"The preset {name} is saved; Train has it under Presets.")

    def _is_ready(self, name: str) -> bool:
        card: RunCard | None = next((c for c in self._services.catalog.runs() if c.name == name), None)
        return card is not None and card.finished


def _button(label: str, elem_id: str) -> gr.Button:
    return gr.Button(label, size="sm", elem_id=elem_id, min_width=140, visible=False)
