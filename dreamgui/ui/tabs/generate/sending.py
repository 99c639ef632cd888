"""From a kept picture on to Compare and ControlNet: its model, prompt, seed and sampling go with it."""

from __future__ import annotations

from typing import Any

import gradio as gr
from pydantic import ValidationError

from dreamgui.config import JobConfig
from dreamgui.config.sampling import GenerationSettings
from dreamgui.errors import DreamError
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.pictures.store import Found
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.session import as_ui_error
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.tabs.generate.from_file import settings_of
from dreamgui.ui.tabs.generate.shelf import PictureShelf


def sends_to_compare(shelf: PictureShelf, form: Form, tabs: gr.Tabs) -> None:
    """Let "To Compare" fill this form with the chosen picture's prompt and models, and open its tab."""

    def send(name: str) -> list[Any]:
        found, catalog = as_ui_error(lambda: shelf.read(name)), form.services.catalog
        settings, remarks = compared(found, catalog)
        _tell("Compare", remarks)
        return [*form.prefill(settings), gr.Tabs(selected="compare")]

    answers(shelf.compare.click, send, [shelf.picked], [*form.inputs, tabs])


def sends_to_control(shelf: PictureShelf, form: Form, tabs: gr.Tabs) -> None:
    """Let "To ControlNet" take the chosen picture as the control image, with its prompt and model, and open its tab."""

    def send(name: str) -> list[Any]:
        found, catalog = as_ui_error(lambda: shelf.read(name)), form.services.catalog
        settings, remarks = controlled(found, catalog)
        settings["image"] = as_ui_error(lambda: shelf.file(name))
        _tell("ControlNet", remarks)
        return [*form.prefill(settings), gr.Tabs(selected="control")]

    answers(shelf.control.click, send, [shelf.picked], [*form.inputs, tabs])


def compared(found: Found, catalog: Catalog) -> tuple[dict[str, Any], list[str]]:
    """Return fields of a comparison of a picture's model with its base, and sentences on what stays behind."""
    from dreamgui.config import CompareJob

    settings, remarks = _shared(found, catalog, CompareJob)
    prompt, models = settings.pop("prompt", ""), _models(settings.pop("model", ""), catalog)
    return settings | ({"prompts": (prompt,)} if prompt else {}) | (
        {"models": models} if models else {}
    ), remarks


def controlled(found: Found, catalog: Catalog) -> tuple[dict[str, Any], list[str]]:
    """Return fields of a ControlNet job with a picture's model and prompt, and sentences on what stays behind.

    Points that were set for another picture go.
    """
    from dreamgui.config import ControlJob

    settings, remarks = _shared(found, catalog, ControlJob)
    models = _models(settings.pop("model", ""), catalog)[-1:]
    return settings | {"pose": ""} | ({"models": models} if models else {}), remarks


def _shared(found: Found, catalog: Catalog, target: type[JobConfig]) -> tuple[dict[str, Any], list[str]]:
    """The picture's prompt, model and sampling, without what the target doesn't take."""
    settings, _ = settings_of(found, catalog)
    remarks = []
    if settings.get("loras"):
        remarks.append("Its other LoRAs are left out: this tab takes one model at a time.")
    kept = {name: settings[name] for name in ("prompt", "model") if settings.get(name)}
    for name in GenerationSettings.model_fields:
        if name not in settings:
            continue
        if _takes(target, name, settings[name]):
            kept[name] = settings[name]
        else:
            remarks.append(f"{target.model_fields[name].title} {settings[name]} is out of this tab's range.")
    return kept, remarks


def _takes(target: type[JobConfig], name: str, value: Any) -> bool:
    try:
        target.model_validate({name: value})
    except ValidationError as error:
        return not any(each["loc"][:1] == (name,) for each in error.errors())
    return True


def _models(model: str, catalog: Catalog) -> tuple[str, ...]:
    """The base of a model, then the model. A model kept on a run's way stands for its run. It is empty where the model is gone."""
    name = model.partition("@")[0]
    if name not in catalog.names():
        return ()
    try:
        base = catalog.spec(name).base
    except DreamError:
        return ()
    return tuple(dict.fromkeys([base, name]))


def _tell(tab: str, remarks: list[str]) -> None:
    inform(" ".join([f"The picture's settings are filled in under {tab}.", *remarks]))
