"""Way from a run to a form of the workshop, below Convert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.session import QUIET

_UNFOLD = "() => globalThis.dreamgui?.unfold(['#workshop', '#%s-section'])"


def leads_to_workshop(event: Callable[..., Any], run: Component, form: Form, tabs: gr.Tabs) -> None:
    """Let an event, as a button's click, choose a run in a workshop's form, open that tab and unfold the form.

    Args:
        run: holds the run's name, or the library's key of it, as run/anna.
    """

    def go(name: str) -> list[Any]:
        return form.prefill({"model": (name or "").rpartition("/")[2]})

    answers(event, go, [run], form.inputs)
    opened = event(lambda: gr.Tabs(selected="convert"), None, tabs, **QUIET)
    opened.success(None, js=_UNFOLD % form.model.kind, **QUIET)
