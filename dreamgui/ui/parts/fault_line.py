"""Faults of a form's fields, said below its start button and at each field until the field is mended.

Gradio's own sign at a field goes as soon as any listener with that field among its inputs begins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr

from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import EDITABLE
from dreamgui.ui.parts.session import QUIET

HEADING = "Not started. Correct these fields:"
_ASK = "(line, ...values) => [line ? JSON.stringify(values) : undefined]"
"""Script of the browser: the fields are asked about again only while a fault is said."""
_LOOK = (
    "color:var(--dg-fault);display:block;font-size:13px;padding-top:4px",
    "border-color:var(--dg-fault)!important",
)


class FaultLine:
    """Line of faults, empty while nothing is wrong.

    Attributes:
        line: the component, ``PREFIX-faults``.
    """

    def __init__(self, prefix: str) -> None:
        self.line = gr.HTML(elem_id=f"{prefix}-faults")
        self._asked = gr.Textbox(visible="hidden", elem_id=f"{prefix}-faults-asked")

    def follow(self, form: Form) -> None:
        """Look at the form again at each of its changes. It must have all its widgets."""
        widgets: list[Any] = form.inputs
        gr.on(
            [widget.change for widget in widgets],
            None,
            [self.line, *widgets],
            self._asked,
            js=_ASK,
            **QUIET,
        )
        self._asked.change(lambda text: still_said(form, text), self._asked, self.line, **QUIET)


def still_said(form: Form, text: str) -> str:
    """Return the line for the values of all fields as JSON. A file that is there counts as right."""
    values = [
        value if isinstance(widget, EDITABLE) else None
        for widget, value in zip(form.inputs, json.loads(text), strict=True)
    ]
    faults = form.faults(*values)
    there = zip(form.names, form.inputs, json.loads(text), strict=True)
    for name in [name for name, widget, value in there if value and not isinstance(widget, EDITABLE)]:
        faults.pop(name, None)
    return fault_lines(form, faults)


def fault_lines(form: Form, faults: Mapping[str, str]) -> str:
    """Return faults by field as HTML: each with a button that goes to its field, and marked at the field, or ""."""
    if not faults:
        return ""
    items = "".join(f"<li>{_button(form, name)} {escape(fault)}</li>" for name, fault in faults.items())
    marks = _marks({str(form[name].elem_id): fault for name, fault in faults.items()})
    return f'<div class="dg-faults" role="alert"><b>{HEADING}</b><ul>{items}</ul></div><style>{marks}</style>'


def _button(form: Form, name: str) -> str:
    label = str(form.model.model_fields[name].title)
    group = form.group_of(name)
    place = f"#{form.prefix}-group-{group.lower().replace(' ', '-')}" if group else ""
    return (
        f'<button type="button" data-field="#{form.id_of(name)}" data-group="{escape(place)}">'
        f"{escape(label)}</button>"
    )


def _marks(faults: Mapping[str, str]) -> str:
    """Return a style that writes faults below the widgets of these ids."""
    ids = [f"#{each}" for each in faults]
    words = "".join(f'#{each}::after{{content:"{_coded(fault)}"}}' for each, fault in faults.items())
    return f"{words}:is({','.join(ids)})::after{{{_LOOK[0]}}}:is({','.join(ids)}){{{_LOOK[1]}}}"


def _coded(text: str) -> str:
    """Return a text for a style. Each letter that CSS or HTML could read is a code."""
    plain = (letter if letter.isascii() and letter.isalnum() else f"\\{ord(letter):06x}" for letter in text)
    return "".join(plain)
