"""Widgets from a job's config model, and the config back from the widgets' values.

Labels, limits, defaults, what is folded away and where choices come from all stand in the model's fields
(``dreamgui/config.py``); a tab only says which field goes where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dreamgui.config import JobConfig
from dreamgui.errors import OutOfRange
from dreamgui.services import Services

SLIDER_STEPS = 200
SLIDER_INTEGERS = 254
WORDS = {
    "unet": "Whole UNet",
    "lora": "LoRA",
    "canny": "Edges (canny)",
    "pose": "Pose",
    "attention": "Attention",
    "attention+conv": "Attention and convolutions",
}
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
    folded away, with :meth:`fold`. Widgets are then called ``PREFIX-FIELD`` in the page.
    """

    def __init__(self, model: type[JobConfig], services: Services, prefix: str) -> None:
        self.model = model
        self.services = services
        self.prefix = prefix
        self._widgets: dict[str, Component] = {}
        self._folded: set[str] = set()

    def show(self, name: str, **options: Any) -> Component:
        """The widget of a field, made from the model; ``options`` change what it is made with."""
        field = self.model.model_fields[name]
        return self.own(name, _widget(field, self._choices(field), self._options(name, field) | options))

    def own(self, name: str, widget: Component) -> Component:
        """Let a widget of the tab's own stand for a field."""
        self._widgets[name] = widget
        return widget

    def fold(self, title: str = "More settings", skip: tuple[str, ...] = ()) -> None:
        """All fields that have no place yet, in a closed accordion."""
        with gr.Accordion(title, open=False, elem_id=f"{self.prefix}-more"):
            for name in self.model.model_fields:
                if name not in self._widgets and name not in skip:
                    self.show(name)
                    self._folded.add(name)

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
        return make_config(self.model, self._given(values) | others)

    def check(self, *values: Any) -> list[dict[str, Any]]:
        """Gradio's verdict on each widget's value: what is wrong is said at the widget itself.

        Folded widgets count as right here, as nobody would see it: :meth:`read` names their faults.
        """
        given = self._given(values)
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
            choices, many = self._choices(field), _is_many(field.annotation)
            info = "" if choices else f"None yet: {self._maker(name)} makes one."
            updates.append(gr.update(choices=choices, value=_still_there(value, choices, many), info=info))
        return updates[0] if len(updates) == 1 else updates

    @property
    def _chooser_names(self) -> list[str]:
        return [name for name in self.names if _extra(self.model.model_fields[name], "choices")]

    def _filled(self, name: str, value: Any) -> Any:
        choices = self._choices(self.model.model_fields[name])
        return gr.update(value=value, choices=choices) if choices else gr.update(value=_to_widget(value))

    def _maker(self, name: str) -> str:
        return MAKERS[_extra(self.model.model_fields[name], "choices")]

    def _given(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(self.names, values, strict=True))

    def _choices(self, field: FieldInfo) -> list[str]:
        catalog = self.services.catalog
        source: dict[str, Callable[[], list[str]]] = {
            "": list,
            "models": catalog.names,
            "bases": catalog.bases,
            "datasets": lambda: self.services.workspace.names("datasets"),
            "runs": lambda: [card.name for card in catalog.runs()],
        }
        return source[_extra(field, "choices")]()

    def _options(self, name: str, field: FieldInfo) -> dict[str, Any]:
        default = None if field.is_required() else _to_widget(field.default)
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


def _sentence(item: Mapping[str, Any]) -> str:
    """A fault in a few words, as there is little room at a widget."""
    return SENTENCES.get(item["type"], f"{item['msg']}.").format(**item.get("ctx", {}))


def _widget(field: FieldInfo, choices: list[str], options: dict[str, Any]) -> Component:
    """The widget that suits a field's type and limits."""
    annotation = _plain(field.annotation)
    if _extra(field, "choices"):
        return _chooser(field, choices, options)
    if get_origin(annotation) is Literal:
        return gr.Radio(
            choices=[(WORDS.get(str(name), str(name)), name) for name in get_args(annotation)], **options
        )
    if _is_many(annotation):
        return gr.Textbox(lines=len(field.default or ()) or 2, **options)
    if annotation is bool:
        return gr.Checkbox(**options)
    if annotation in (int, float):
        return _number(field, annotation, options)
    return gr.Textbox(**options)


def _chooser(field: FieldInfo, choices: list[str], options: dict[str, Any]) -> Component:
    many = _is_many(field.annotation)
    options["value"] = _still_there(options["value"], choices, many)
    if many:
        return gr.CheckboxGroup(choices=choices, **options)  # pyright: ignore[reportArgumentType]
    return gr.Dropdown(choices=choices, **options)  # pyright: ignore[reportArgumentType]


def _number(field: FieldInfo, kind: type, options: dict[str, Any]) -> Component:
    """A slider for a short range (shares, strengths), else a number field whose limits ``check`` tells."""
    low, high = _limit(field, "ge"), _limit(field, "le")
    if kind is float and low is not None and high is not None and high <= 30:
        step = next(step for step in (0.05, 0.1, 0.5) if (high - low) / step <= SLIDER_STEPS)
        return gr.Slider(low, high, step=step, **options)
    if kind is int and low is not None and high is not None and high - low < SLIDER_INTEGERS:
        return gr.Slider(low, high, step=1, **options)
    return gr.Number(precision=0 if kind is int else None, **options)


def _limit(field: FieldInfo, name: str) -> float | None:
    return next((getattr(item, name) for item in field.metadata if hasattr(item, name)), None)


def _extra(field: FieldInfo, key: str) -> Any:
    extra = field.json_schema_extra
    return extra.get(key, "") if isinstance(extra, dict) else ""


def _plain(annotation: Any) -> Any:
    """The annotation without "or None" and without what pydantic adds."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _plain(next(kind for kind in get_args(annotation) if kind is not type(None)))
    return annotation


def _is_many(annotation: Any) -> bool:
    return get_origin(_plain(annotation)) is tuple


def _to_widget(value: Any) -> Any:
    """A default as a widget holds it: several prompts are lines."""
    return "\n".join(str(item) for item in value) if isinstance(value, tuple | list) else value


def _still_there(value: Any, choices: list[str], many: bool) -> Any:
    """The value, as far as it can still be chosen; else the newest choice (the first one for several)."""
    if many:
        wanted = value.splitlines() if isinstance(value, str) else value or []
        return [item for item in wanted if item in choices] or choices[:1]
    return value if value in choices else (choices[-1] if choices else None)
