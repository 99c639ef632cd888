"""Widgets from a job's config model, and the config back from the widgets' values.

The model's fields (``dreamgui/config``) hold labels, info, limits, defaults, groups and the source of choices; a
tab only places the fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
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
from dreamgui.ui.parts.faults import EMPTY, faults_of, given_of
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.uploads import uploaded
from dreamgui.ui.parts.widgets import (
    extra,
    holds_path,
    is_many,
    is_narrow,
    is_number,
    make_widget,
    number_to_widget,
    still_there,
    to_widget,
)

NUMBER_WIDTH_PX = 190
MAKERS = {
    "models": "Convert",
    "bases": "Convert",
    "datasets": "Dataset",
    "runs": "Train",
    "loras": "Train",
    "unets": "Train",
}
COUNT_CHANGES = """(...values) => %s.map(([title, usual]) => {
  const changed = Object.entries(usual).filter(([place, plain]) => {
    const value = values[place];
    const blank = value == null || (plain === null && value === "");
    return !blank && String(value).trim() !== String(plain);
  }).length;
  return {__type__: "update", label: changed ? `${title} \u00b7 ${changed} changed` : title};
})"""
"""Script of the browser, run at every change: titles of the groups from the values of their fields."""


class Form:
    """The widgets of one job's form.

    A tab places single fields with :meth:`show` (or its own widget with :meth:`own`), and the rest with
    :meth:`groups`. The id of a widget is ``PREFIX-FIELD``. Unless ``local``, the user sits at another machine, and
    fields for folders of this machine are left out.
    """

    def __init__(self, model: type[JobConfig], services: Services, prefix: str, local: bool = True) -> None:
        self.model = model
        self.services = services
        self.prefix = prefix
        self._local = local
        self._widgets: dict[str, Component] = {}
        self._grouped: set[str] = set()
        self.accordions: dict[str, gr.Accordion] = {}

    def show(self, name: str, **options: Any) -> Component:
        """Place the widget of a field, made from the model. ``options`` override its arguments."""
        field = self.model.model_fields[name]
        return self.own(name, make_widget(field, self._choices(field), self._options(name, field) | options))

    def own(self, name: str, widget: Component) -> Component:
        """Use a widget of the tab for a field."""
        self._widgets[name] = widget
        return widget

    def front(self, skip: tuple[str, ...] = ()) -> None:
        """Place all fields without a group that have no place yet."""
        self.place(self._left(skip).get("", ()))

    def groups(self, skip: tuple[str, ...] = (), count: bool = True) -> None:
        """Place all fields that have no place yet: those without a group, then each group in a closed accordion.

        The title of an accordion (id ``PREFIX-group-TITLE``) counts its fields that differ from the default, unless
        ``count`` leaves that to an :class:`~dreamgui.ui.parts.overview.Overview`.
        """
        self.front(skip)
        groups = self._left(skip)
        if not groups:
            return
        with gr.Column(elem_classes="dg-groups"):
            self.accordions = {title: self._group(title, names) for title, names in groups.items()}
        if count:
            self._count_changes(groups, list(self.accordions.values()))

    def _group(self, title: str, names: list[str]) -> gr.Accordion:
        elem_id = f"{self.prefix}-group-{title.lower().replace(' ', '-')}"
        with gr.Accordion(title, open=False, elem_id=elem_id) as accordion:
            self.place(names)
        self._grouped.update(names)
        return accordion

    def place(self, names: Iterable[str]) -> None:
        """Place fields in their order, typed numbers beside each other."""
        fields = self.model.model_fields
        for narrow, group in groupby(names, key=lambda name: is_narrow(fields[name])):
            with gr.Row() if narrow else nullcontext():
                for name in group:
                    self.show(name, **({"min_width": NUMBER_WIDTH_PX} if narrow else {}))

    def _left(self, skip: tuple[str, ...]) -> dict[str, list[str]]:
        """Return the fields without a place, by group, those of no group under ""."""
        groups: dict[str, list[str]] = {}
        for name, field in self.model.model_fields.items():
            if name not in (*self._widgets, *skip) and (self._local or not holds_path(field)):
                groups.setdefault(extra(field, "group"), []).append(name)
        return groups

    def _count_changes(self, groups: Mapping[str, list[str]], accordions: list[gr.Accordion]) -> None:
        places = {
            name: place for place, name in enumerate(name for names in groups.values() for name in names)
        }
        usual = [
            (title, {places[name]: to_widget(self.model.model_fields[name].default) for name in names})
            for title, names in groups.items()
        ]
        widgets: list[Any] = [self._widgets[name] for name in places]
        script = COUNT_CHANGES % json.dumps(usual, default=str)
        gr.on([widget.change for widget in widgets], None, widgets, accordions, js=script, **QUIET)

    def __getitem__(self, name: str) -> Component:
        return self._widgets[name]

    @property
    def names(self) -> list[str]:
        """Fields with a widget, in the model's order."""
        return [name for name in self.model.model_fields if name in self._widgets]

    @property
    def inputs(self) -> list[Component]:
        """Widgets, in the model's order."""
        return [self._widgets[name] for name in self.names]

    def read(self, *values: Any, **others: Any) -> JobConfig:
        """Return the config from the widgets' values (in the order of :attr:`inputs`). ``others`` override them.

        Raises:
            OutOfRange: a value lies outside the limits of its field.
        """
        return make_config(self.model, self.values(*values) | others)

    def values(self, *values: Any) -> dict[str, Any]:
        """Return the widgets' values by field, None for a number that is empty and may be.

        Raises:
            OutOfRange: a number is empty and may not be.
        """
        given = self._found(values)
        if emptied := self._emptied(given):
            labels = ", ".join(repr(self.model.model_fields[name].title) for name in emptied)
            raise OutOfRange(f"Empty: {labels}.", "Type a number into each and start again.")
        return given

    def _found(self, values: Iterable[Any]) -> dict[str, Any]:
        """Return the widgets' values by field, None for an empty number. A typed 0 stays 0."""
        fields = self.model.model_fields
        given = {name: _bare(value) for name, value in zip(self.names, values, strict=True)}
        return {
            name: None if value == "" and is_number(fields[name]) else value for name, value in given.items()
        }

    def _emptied(self, given: Mapping[str, Any]) -> list[str]:
        """Return the fields whose number was emptied though they need one."""
        fields = self.model.model_fields
        return [
            name
            for name, value in given.items()
            if value is None and is_number(fields[name]) and fields[name].default is not None
        ]

    def with_values(self, values: Mapping[str, Any]) -> JobConfig:
        """Return the config from values that don't come from the widgets.

        Raises:
            OutOfRange: a value lies outside the limits of its field.
        """
        return make_config(self.model, values)

    def faults(self, *values: Any) -> dict[str, str]:
        """Return what is wrong with the widgets' values, by field in the form's order, each in a few words."""
        given = self._found(values)
        faults = faults_of(self.model, given) | dict.fromkeys(self._emptied(given), EMPTY)
        for name in self._chooser_names:
            if not given.get(name):
                faults[name] = f"Choose one. The {self._maker(name)} tab makes it."
        return {name: faults[name] for name in self.names if name in faults}

    def group_of(self, name: str) -> str:
        """Return the title of the folded group that a field lies in, or "" for one in the open."""
        return str(extra(self.model.model_fields[name], "group")) if name in self._grouped else ""

    def id_of(self, name: str) -> str:
        """Return the id of a field's widget in the page."""
        return str(self._widgets[name].elem_id)

    def prefill(self, settings: Mapping[str, Any]) -> list[Any]:
        """Return updates that put these settings into the widgets and leave all others unchanged."""
        return [self._filled(name, settings[name]) if name in settings else gr.skip() for name in self.names]

    @property
    def choosers(self) -> list[Component]:
        """Widgets with choices from the workspace."""
        return [self._widgets[name] for name in self._chooser_names]

    def refresh(self, *values: Any) -> Any:
        """Return updates of :attr:`choosers` from their values. A default replaces a value that is gone."""
        updates = []
        for name, value in zip(self._chooser_names, values, strict=True):
            field = self.model.model_fields[name]
            choices, many = self._choices(field), is_many(field.annotation)
            info = extra(field, "info") if choices else f"None yet. The {self._maker(name)} tab makes one."
            updates.append(gr.update(choices=choices, value=still_there(value, choices, many), info=info))
        return updates[0] if len(updates) == 1 else updates

    @property
    def _chooser_names(self) -> list[str]:
        return [name for name in self.names if extra(self.model.model_fields[name], "choices")]

    def _filled(self, name: str, value: Any) -> Any:
        choices = self._choices(self.model.model_fields[name])
        if choices:
            return gr.update(value=value, choices=choices)
        number = is_number(self.model.model_fields[name])
        return gr.update(value=number_to_widget(value) if number else to_widget(value))

    def _maker(self, name: str) -> str:
        return MAKERS[extra(self.model.model_fields[name], "choices")]

    def _choices(self, field: FieldInfo) -> list[str]:
        catalog = self.services.catalog
        source: dict[str, Callable[[], list[str]]] = {
            "": list,
            "models": catalog.names if is_many(field.annotation) else catalog.all_names,
            "bases": catalog.bases,
            "datasets": lambda: self.services.workspace.names("datasets"),
            "runs": lambda: [card.name for card in catalog.runs()],
            "loras": lambda: [card.name for card in catalog.runs() if card.kind == "lora"],
            "unets": lambda: [card.name for card in catalog.runs() if card.kind == "unet"],
        }
        return source[extra(field, "choices")]()

    def _options(self, name: str, field: FieldInfo) -> dict[str, Any]:
        default = None if field.is_required() else to_widget(field.default)
        return {
            "label": field.title,
            "info": extra(field, "info") or None,
            "value": default,
            "elem_id": f"{self.prefix}-{name.replace('_', '-')}",
        }


def make_config(model: type[JobConfig], values: Mapping[str, Any]) -> JobConfig:
    """Return the frozen config from plain values. None is "empty" where a field allows it, else "not given".

    Raises:
        OutOfRange: a value lies outside the limits of its field.
    """
    try:
        return model.model_validate(given_of(model, values))
    except ValidationError as error:
        raise OutOfRange.from_validation(error) from error


def _bare(value: Any) -> Any:
    """Return the path of an uploaded file that gradio passed unopened, as a dict, else the value itself.

    Raises:
        BadInput: as :func:`uploaded`.
    """
    if not isinstance(value, dict) or "path" not in value:
        return value
    return str(uploaded(value))
