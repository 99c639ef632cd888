"""Overview of a form's many fields: a filter, the fields that differ from the recommended values, and their reset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.widgets import extra, to_widget

_PRESS = """element.addEventListener('click', event => {
  const chip = event.target.closest('[data-reset]');
  if (chip) trigger('select', {index: 0, value: chip.dataset.reset});
});"""
_CHANGES = "(advice, ...values) => globalThis.dreamgui?.changes(%s, advice, values) ?? []"
_FOUND = "text => globalThis.dreamgui?.found(%s, text) ?? []"


class Overview:
    """Filter and line of changed fields for one form. Scripts of the browser keep both up to date.

    Attributes:
        advice: hidden text, the recommended values by field as JSON where they aren't the fields' defaults.
    """

    def __init__(self, form: Form, quiet: Sequence[str] = ()) -> None:
        """Place the line of changed fields. Fields in ``quiet`` are counted in their group, and not told here."""
        self._form = form
        self._quiet = list(quiet)
        self.advice = gr.Textbox(visible="hidden", elem_id=f"{form.prefix}-advice")
        self._line = gr.HTML(elem_id=f"{form.prefix}-changed", js_on_load=_PRESS)
        self._find: gr.Textbox
        self._found: gr.HTML

    def place_filter(self) -> None:
        """Place the box that filters the folded fields."""
        prefix = self._form.prefix
        self._find = gr.Textbox(
            label="Find a setting", placeholder="For instance rank, memory or seed", elem_id=f"{prefix}-find"
        )
        self._found = gr.HTML(elem_id=f"{prefix}-found")

    def follow(self) -> None:
        """Follow the form, which must have all its widgets."""
        form = self._form
        plan = json.dumps(self._plan(), default=str)
        widgets = form.inputs
        accordions = list(form.accordions.values())
        gr.on(
            [self.advice.change, *(getattr(widget, "change") for widget in widgets)],  # noqa: B009
            None,
            [self.advice, *widgets],
            [self._line, *accordions],
            js=_CHANGES % plan,
            **QUIET,
        )
        self._find.change(None, self._find, [self._found, *accordions], js=_FOUND % plan, **QUIET)
        answers(self._line.select, self._reset, [self.advice], widgets)

    def _plan(self) -> dict[str, Any]:
        model, form = self._form.model, self._form
        fields = {name: model.model_fields[name] for name in form.names}
        return {
            "prefix": form.prefix,
            "groups": list(form.accordions),
            "quiet": [*self._quiet, *(name for name, field in fields.items() if extra(field, "choices"))],
            "usual": {name: to_widget(field.default) for name, field in fields.items()},
            "fields": [
                {
                    "name": name,
                    "label": field.title,
                    "group": extra(field, "group") if extra(field, "group") in form.accordions else "",
                    "words": f"{field.title} {name} {extra(field, 'info')} {extra(field, 'group')}".lower(),
                }
                for name, field in fields.items()
            ],
        }

    def _reset(self, advice: str, pressed: gr.SelectData) -> list[Any]:
        """Return updates that put the recommended value into a field, or with ``*`` into all that are told."""
        form, name = self._form, str(pressed.value)
        usual = {each: form.model.model_fields[each].default for each in form.names} | read_advice(advice)
        silent = self._plan()["quiet"]
        chosen = [each for each in form.names if each not in silent] if name == "*" else [name]
        return form.prefill({each: usual[each] for each in chosen if each in usual})


def read_advice(text: str | None) -> dict[str, Any]:
    """Return the recommended values by field, empty before any are known."""
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def advice_text(settings: Mapping[str, Any]) -> str:
    """Return recommended values by field as the text of :attr:`Overview.advice`."""
    return json.dumps({name: to_widget(value) for name, value in settings.items()}, default=str)
