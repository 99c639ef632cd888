"""Widgets from a job's config model, and the config back from the widgets' values.

Labels, limits, defaults, what is folded away and where choices come from all stand in the model's fields
(``dreamgui/config``); a tab only says which field goes where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from itertools import groupby
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dreamgui.config import JobConfig
from dreamgui.errors import OutOfRange
from dreamgui.services import Services
from dreamgui.ui.widgets import extra, holds_path, is_many, is_narrow, make_widget, still_there, to_widget

NUMBER_WIDTH_PX = 190
MAKERS = {"models": "Convert", "bases": "Convert", "datasets": "Dataset", "runs": "Train"}
SENTENCES = {
    "missing": "This is needed.",
    "less_than_equal": "At most {le}.",
    "greater_than_equal": "At least {ge}.",
    "greater_than": "More than {gt}.",
    "multiple_of": "A multiple of {multiple_of}.",
    "too_short": "This is needed.",
    "too_long": "At most {max_length}.",
}


class Form:
    """The widgets of one job's form.

    A tab places fields one by one with :meth:`show` (or gives its own widget with :meth:`own`), and the rest,
    folded away, with :meth:`fold`. Widgets are called ``PREFIX-FIELD`` in the page. Unless ``local``, whoever
    opens the page sits elsewhere, and fields for folders of this machine are left out.
    """

    def __init__(self, model: type[JobConfig], services: Services, prefix: str, local: bool = True) -> None:
        self.model = model
        self.services = services
        self.prefix = prefix
        self._local = local
        self._widgets: dict[str, Component] = {}
        self._folded: set[str] = set()

    def show(self, name: str, **options: Any) -> Component:
        """The widget of a field, made from the model; ``options`` change what it is made with."""
        field = self.model.model_fields[name]
        return self.own(name, make_widget(field, self._choices(field), self._options(name, field) | options))

    def own(self, name: str, widget: Component) -> Component:
        """Let a widget of the tab's own stand for a field."""
        self._widgets[name] = widget
        return widget

    def fold(self, title: str = "More settings", skip: tuple[str, ...] = ()) -> None:
        """All fields that have no place yet, in a closed accordion."""
        fields = self.model.model_fields
        left = [name for name in fields if name not in self._widgets and name not in skip]
        with gr.Accordion(title, open=False, elem_id=f"{self.prefix}-more"):
            for _, group in groupby(left, key=lambda name: is_narrow(fields[name])):
                names = [name for name in group if self._local or not holds_path(fields[name])]
                with gr.Row() if is_narrow(fields[names[0]]) else nullcontext():
                    for name in names:
                        self.show(name, **({"min_width": NUMBER_WIDTH_PX} if is_narrow(fields[name]) else {}))
                self._folded.update(names)

    def __getitem__(self, name: str) -> Component:
        return self._widgets[name]

    @property
    def names(self) -> list[str]:
        """The fields that have a widget, in the model's order."""
        return [name for name in self.model.model_fields if name in self._widgets]

    @property
    def inputs(self) -> list[Component]:
        """The widgets, in the model's order."""
        return [self._widgets[name] for name in self.names]

    def read(self, *values: Any, **others: Any) -> JobConfig:
        """The config from the widgets' values (in the order of :attr:`inputs`); ``others`` win over them.

        Raises:
            OutOfRange: a value lies outside the limits of its field.
        """
        return make_config(self.model, self.values(*values) | others)

    def values(self, *values: Any) -> dict[str, Any]:
        """The widgets' values by field, as they were given."""
        return {name: _bare(value) for name, value in zip(self.names, values, strict=True)}

    def check(self, *values: Any) -> list[dict[str, Any]]:
        """Gradio's verdict on each widget's value: what is wrong is said at the widget itself.

        Folded widgets count as right here, as nobody would see it: :meth:`read` names their faults.
        """
        given = self.values(*values)
        faults = _faults(self.model, given)
        for name in self._folded:
            faults.pop(name, None)
        for name in self._chooser_names:
            if not given.get(name):
                faults[name] = f"Choose one; {self._maker(name)} makes it."
        return [gr.validate(name not in faults, faults.get(name, "")) for name in self.names]

    def prefill(self, settings: Mapping[str, Any]) -> list[Any]:
        """Updates that put these settings into the widgets and leave all others as they are."""
        return [self._filled(name, settings[name]) if name in settings else gr.skip() for name in self.names]

    @property
    def choosers(self) -> list[Component]:
        """The widgets whose choices come from the workspace."""
        return [self._widgets[name] for name in self._chooser_names]

    def refresh(self, *values: Any) -> Any:
        """Updates of :attr:`choosers` from their values: what is gone gives way to a default."""
        updates = []
        for name, value in zip(self._chooser_names, values, strict=True):
            field = self.model.model_fields[name]
            choices, many = self._choices(field), is_many(field.annotation)
            info = "" if choices else f"None yet: {self._maker(name)} makes one."
            updates.append(gr.update(choices=choices, value=still_there(value, choices, many), info=info))
        return updates[0] if len(updates) == 1 else updates

    @property
    def _chooser_names(self) -> list[str]:
        return [name for name in self.names if extra(self.model.model_fields[name], "choices")]

    def _filled(self, name: str, value: Any) -> Any:
        choices = self._choices(self.model.model_fields[name])
        return gr.update(value=value, choices=choices) if choices else gr.update(value=to_widget(value))

    def _maker(self, name: str) -> str:
        return MAKERS[extra(self.model.model_fields[name], "choices")]

    def _choices(self, field: FieldInfo) -> list[str]:
        catalog = self.services.catalog
        source: dict[str, Callable[[], list[str]]] = {
            "": list,
            "models": catalog.names,
            "bases": catalog.bases,
            "datasets": lambda: self.services.workspace.names("datasets"),
            "runs": lambda: [card.name for card in catalog.runs()],
        }
        return source[extra(field, "choices")]()

    def _options(self, name: str, field: FieldInfo) -> dict[str, Any]:
        default = None if field.is_required() else to_widget(field.default)
        return {
            "label": field.description,
            "value": default,
            "elem_id": f"{self.prefix}-{name.replace('_', '-')}",
        }


def make_config(model: type[JobConfig], values: Mapping[str, Any]) -> JobConfig:
    """The frozen config from plain values, None standing for a field's default.

    Raises:
        OutOfRange: a value lies outside the limits of its field.
    """
    try:
        return model.model_validate(_without_blanks(model, values))
    except ValidationError as error:
        raise OutOfRange.from_validation(error) from error


def _without_blanks(model: type[JobConfig], values: Mapping[str, Any]) -> dict[str, Any]:
    """An emptied number or chooser counts as "not said"; so does 0 where a number may be left open, as gradio
    shows such a number as 0 before it is touched."""
    may_be_open = {name for name, field in model.model_fields.items() if field.default is None}
    blanks = {name for name, value in values.items() if value is None or (value == 0 and name in may_be_open)}
    return {name: value for name, value in values.items() if name not in blanks}


def _faults(model: type[JobConfig], values: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong, by field."""
    try:
        model.model_validate(_without_blanks(model, values))
    except ValidationError as error:
        return {str(item["loc"][0]) if item["loc"] else "": _sentence(item) for item in error.errors()}
    return {}


def _bare(value: Any) -> Any:
    """An uploaded file that gradio was asked not to open comes as a dict; its path, or the value itself."""
    return value["path"] if isinstance(value, dict) and "path" in value else value


def _sentence(item: Mapping[str, Any]) -> str:
    """A fault in a few words, as there is little room at a widget."""
    return SENTENCES.get(item["type"], f"{item['msg']}.").format(**item.get("ctx", {}))
