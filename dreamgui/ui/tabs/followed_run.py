"""Prompts and dataset in the page that follow the first run chosen, until they are changed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from dreamgui.services import Services
from dreamgui.training.prompts import followed_run
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.widgets import to_widget

FOLLOWING = ("prompt", "prompts", "dataset")


def follow_run(services: Services, form: Form) -> None:
    """Fill in the prompts and the dataset of the first run among a form's chosen models.

    A field that holds neither the default nor what was filled in last was typed into, and stays; the dataset follows
    until another one is chosen.
    """
    names = [name for name in FOLLOWING if name in form.names]
    filled = gr.State(dict[str, Any]())

    def chosen(models: Sequence[str], before: dict[str, Any], *values: Any) -> list[Any]:
        known = tuple(name for name in models or () if name in services.catalog.names())
        empty: Any = form.model.model_construct(models=known)
        job, _ = followed_run(empty, services.workspace, services.catalog)
        new = {name: to_widget(getattr(job, name)) for name in names}
        held = dict(zip(names, values, strict=True))
        standard = {name: to_widget(form.model.model_fields[name].default) for name in names}
        free = [name for name in names if held[name] in (standard[name], before.get(name))]
        if "dataset" in names and "dataset" not in before:
            free.append("dataset")
        if not any(not services.catalog.is_base(name) for name in known):
            free = [name for name in free if name != "dataset"]
        told = {name: new[name] for name in free}
        return [*(told.get(name, gr.skip()) for name in names), before | told]

    widgets, models = [form[name] for name in names], form["models"]
    assert isinstance(models, gr.CheckboxGroup)
    answers(models.change, chosen, [models, filled, *widgets], [*widgets, filled])
