"""Late answers: a value typed or chosen after the question stays.

A listener's answer can arrive seconds after its question on a slow machine. Gradio would overwrite the widgets
regardless. :func:`answers` registers a listener whose values go through the browser instead: the question carries
the fields' values, and the answer changes only fields that still hold them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from dreamgui.ui.parts.session import QUIET

EDITABLE = (gr.Textbox, gr.Number, gr.Slider, gr.Radio, gr.Checkbox, gr.CheckboxGroup, gr.Dropdown)
"""Widgets for typing and choosing."""

# ``put`` remembers what answers put into the fields, by id, and counts: a field changed since by another answer,
# and by nobody else, isn't typed into.
_PUT = "const put = (globalThis.dreamguiPut ??= {count: 0, last: {}});"
_ASK = """(...given) => {
    %(put)s
    const fields = %(ids)s.length, box = given.length - fields - 1;
    given[box] = {held: given.slice(box + 1), count: put.count};
    return given;
}"""
_TAKE = """(answer, ...now) => {
    %(put)s
    const ids = %(ids)s, together = %(together)s;
    const blank = value => value === "" || value === 0 || (Array.isArray(value) && !value.length);
    const text = value => JSON.stringify(blank(value) ? null : value ?? null);
    const untouched = (value, i) => {
        const last = put.last[ids[i]];
        const ours = last && last.count > answer.asked.count && text(last.value) === text(value);
        return ours || text(answer.asked.held[i]) === text(value);
    };
    const free = now.map(untouched);
    const whole = together.every(i => free[i]);
    return now.map((_, i) => {
        if (!(i in answer.values) || !free[i] || (together.includes(i) && !whole)) return undefined;
        put.last[ids[i]] = {count: ++put.count, value: answer.values[i]};
        return answer.values[i];
    });
}"""


def answers(
    event: Callable[..., Any],
    action: Callable[..., Any],
    inputs: Sequence[Component],
    outputs: Sequence[Block],
    together: Sequence[Component] = (),
    **options: Any,
) -> None:
    """Register a listener. A value typed or chosen since its question wins over its answer.

    Args:
        event: the event, such as ``button.click`` or ``blocks.load``.
        action: takes the inputs' values; returns a value or update for each output, or a dict of them.
        inputs: widgets with the action's values.
        outputs: widgets that the answer changes. Only :data:`EDITABLE` ones keep a typed value.
        together: fields among the outputs that belong together: if one keeps its value, all do.
        options: passed to the event.
    """
    fields: list[Component] = [widget for widget in outputs if isinstance(widget, EDITABLE)]
    box = gr.JSON(visible=False)
    words = {
        "put": _PUT,
        "ids": json.dumps([field._id for field in fields]),
        "together": json.dumps([fields.index(field) for field in together]),
    }
    asked = event(
        _apart(action, outputs, fields),
        [*inputs, box, *fields],
        [*outputs, box],
        js=_ASK % words,
        **{**QUIET, **options},
    )
    asked.success(None, [box, *fields], fields, js=_TAKE % words, **QUIET)


def _apart(
    action: Callable[..., Any], outputs: Sequence[Block], fields: Sequence[Component]
) -> Callable[..., Any]:
    """Return the action with its fields' values separated from the rest of its answer."""

    @wraps(action)
    def listener(*given: Any) -> list[Any]:
        number = len(given) - len(fields) - 1
        updates = _by_output(action(*given[:number]), outputs)
        values = {}
        for place, field in enumerate(fields):
            updates[field], found = _without_value(updates[field])
            values |= {str(place): value for value in found}
        return [*(updates[output] for output in outputs), {"asked": given[number], "values": values}]

    # Gradio reads from the signature the places of event data and the number of values.
    signature = inspect.signature(action)
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        rest = inspect.Parameter("rest", inspect.Parameter.VAR_POSITIONAL)
        signature = signature.replace(parameters=[*signature.parameters.values(), rest])
    adapted: Any = listener
    adapted.__signature__ = signature
    return adapted


def _by_output(answer: Any, outputs: Sequence[Block]) -> dict[Block, Any]:
    """Return an action's answer as an update for each output."""
    if isinstance(answer, dict) and all(isinstance(key, Block) for key in answer):
        return {output: answer.get(output, gr.skip()) for output in outputs}
    return dict(zip(outputs, [answer] if len(outputs) == 1 else answer, strict=True))


def _without_value(update: Any) -> tuple[Any, list[Any]]:
    """Return an update without its value, and a list with the value, if any."""
    if not isinstance(update, dict) or update.get("__type__") != "update":
        return gr.skip(), [update]
    rest = {key: value for key, value in update.items() if key != "value"}
    return rest, [update["value"]] if "value" in update else []
