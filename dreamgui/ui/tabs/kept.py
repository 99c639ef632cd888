"""Settings that the visitor's browser keeps, so that they are there again when the page is opened again.

The browser keeps what differs from the recommended values (``fields.js``), and nothing of it here. Without kept
settings a form gets those of its running job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import gradio as gr
from gradio.components import Component

from dreamgui.services import Services, VisitorServices
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.session import QUIET
from dreamgui.visitors import current

LONGEST_TEXT = 20_000
FORGET = "() => { localStorage.removeItem('dreamgui-settings'); location.reload(); }"
"""Script that removes the kept settings and loads the page anew."""
_READ = "() => globalThis.dreamgui?.kept() ?? '{}'"
_KEEP = "told => { globalThis.dreamgui?.keeps(told); }"
_TAG_LETTERS = 12


class Kept:
    """Settings kept by the browser of a page's visitor.

    Attributes:
        text: hidden text with the kept settings as JSON; it changes once, as the page opens.
    """

    def __init__(self, services: Services, blocks: gr.Blocks) -> None:
        """Place the hidden texts, outside of the tabs, as a closed tab's widgets hear nothing."""
        self._services = services
        self.text = gr.Textbox(visible="hidden", elem_id="kept-settings")
        self._training, self._others = (
            gr.Textbox(visible="hidden", elem_id=f"kept-{name}") for name in ("training", "others")
        )
        blocks.load(None, None, self.text, js=_READ, **QUIET)
        for box in (self._training, self._others):
            box.change(None, box, None, js=_KEEP, **QUIET)

    @property
    def training(self) -> gr.Textbox:
        """Hidden text that takes :meth:`told` together with the training form's values."""
        return self._training

    def told(self, *forms: Form) -> str:
        """Return the text by which the browser keeps these forms' settings from now on."""
        return " ".join([f"visitor-{self._tag()}", *(form.prefix for form in forms)])

    def settings(self, text: str | None, form: Form) -> dict[str, Any]:
        """Return a form's kept settings by field, or else those of its running job, empty without either.

        Values that the form's widgets don't hold, and choices that are gone, are left out.
        """
        kept = self._kept(text, form.prefix) or self._running(form)
        choices = _choices(form)
        return {
            name: value
            for name, value in kept.items()
            if name in form.names and _fits(form[name], value, choices.get(name))
        }

    def in_place_of_none(self, text: str | None, form: Form, values: Sequence[Any]) -> Sequence[Any]:
        """Return a form's choices, where nothing is chosen yet the kept one.

        A tab may ask for its choices before the kept ones have come back.
        """
        if all(values):
            return values
        mine, names = self.settings(text, form), refreshed(form, values)
        return [value or mine.get(name) for name, value in zip(names, values, strict=True)]

    def restores(self, forms: Sequence[Form]) -> None:
        """Refresh these forms' choices and fill in their kept settings as the page opens."""

        def opened(text: str | None, *values: Any) -> list[Any]:
            left, updates = iter(values), []
            for form in forms:
                fresh = refreshed(form, list(islice(left, len(form.choosers))))
                mine = self.settings(text, form)
                updates += [
                    _with(fresh[name], mine.get(name)) if name in fresh else update
                    for name, update in zip(form.names, form.prefill(mine), strict=True)
                ]
            return [*updates, self.told(*forms)]

        choosers = [chooser for form in forms for chooser in form.choosers]
        widgets = [widget for form in forms for widget in form.inputs]
        answers(self.text.change, opened, [self.text, *choosers], [*widgets, self._others])

    def _kept(self, text: str | None, prefix: str) -> dict[str, Any]:
        try:
            found = json.loads(text or "{}")
            mine = found["forms"][prefix] if found["visitor"] == f"visitor-{self._tag()}" else {}
        except (ValueError, KeyError, TypeError):
            return {}
        return mine if isinstance(mine, dict) else {}

    def _running(self, form: Form) -> dict[str, Any]:
        """Return the settings of the form's active job. A resumed run has settings of its own."""
        job = next(iter(self._services.jobs.active(form.model.kind)), None)
        if job is None or getattr(job.config, "resume", False):
            return {}
        given: dict[str, Any] = job.config.model_dump(mode="json", exclude_unset=True)
        many = {name for name in _choices(form) if isinstance(form[name], gr.CheckboxGroup)}
        return {
            name: "\n".join(map(str, value)) if isinstance(value, list) and name not in many else value
            for name, value in given.items()
        }

    def _tag(self) -> str:
        """Return what tells this visitor from others of the same browser, "" for the user of this machine."""
        if not isinstance(self._services, VisitorServices):
            return ""
        return hashlib.sha256(current().encode()).hexdigest()[:_TAG_LETTERS]


def refreshed(form: Form, values: Sequence[Any]) -> dict[str, Any]:
    """Return updates of a form's choosers by field, from their values."""
    found = form.refresh(*values) if form.choosers else []
    names = [name for name in form.names if form[name] in form.choosers]
    return dict(zip(names, found if isinstance(found, list) else [found], strict=True))


def _with(update: Mapping[str, Any], value: Any) -> Any:
    return gr.update(**{**update, **({"value": value} if value else {})})


def _choices(form: Form) -> dict[str, list[str]]:
    """Return the names that each chooser offers now."""
    return {name: update["choices"] for name, update in refreshed(form, [None] * len(form.choosers)).items()}


def _fits(widget: Component, value: Any, choices: list[str] | None) -> bool:
    """Return whether a widget can hold a value. A number out of the form's range can be, and is told by the form."""
    if choices is not None:
        wanted = value if isinstance(value, list) else [value]
        return bool(wanted) and all(each in choices for each in wanted)
    match widget:
        case gr.Radio():
            return value in [choice[1] for choice in widget.choices]
        case gr.Checkbox():
            return isinstance(value, bool)
        case gr.Slider():
            return _is_number(value) and widget.minimum <= value <= widget.maximum
        case gr.Number():
            return value in (None, "") or _is_number(value)
        case gr.Textbox() | gr.Dropdown():
            return (
                isinstance(value, str)
                and len(value) <= LONGEST_TEXT
                and getattr(widget, "type", "") != "password"
            )
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
