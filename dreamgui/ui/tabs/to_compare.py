"""Way from a run to the Compare tab, with the run beside its base model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.session import QUIET, as_ui_error


def leads_to_compare(
    services: Services, event: Callable[..., Any], run: Component, form: Form, tabs: gr.Tabs
) -> None:
    """Let an event, as a button's click, choose a run, its base and its dataset in Compare's form, and open the tab.

    Args:
        run: holds the run's name, or the library's key of it, as run/anna, or the names of several runs.
    """

    def go(held: str | list[str]) -> list[Any]:
        names = held if isinstance(held, list) else [(held or "").rpartition("/")[2]]
        return form.prefill(as_ui_error(lambda: side_by_side(services, *names)))

    answers(event, go, [run], form.inputs)
    event(lambda: gr.Tabs(selected="compare"), None, tabs, **QUIET)


def side_by_side(services: Services, name: str, *others: str) -> dict[str, Any]:
    """Return fields of a comparison: runs beside the first one's base, with its dataset if that is there, or a base
    alone.

    Raises:
        UnknownName: there is no such model.
    """
    if name in services.catalog.bases():
        return {"models": [name]}
    card = services.catalog.run(name.rpartition("@")[0] or name)
    settings: dict[str, Any] = {"models": [card.base, name, *others]}
    if card.dataset in services.workspace.names("datasets"):
        settings["dataset"] = card.dataset
    return settings
