"""Values that fill in the Train tab's form: a base model's recommendations, and a dataset's prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import gradio as gr

from dreamgui.config import ClassImagesJob, SweepJob, TrainJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.diffusion.person_words import class_of
from dreamgui.services import Services
from dreamgui.training.prompts import generated_from
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.overview import advice_text
from dreamgui.ui.parts.session import QUIET, as_ui_error
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.widgets import to_widget
from dreamgui.ui.tabs.kept import Kept, refreshed

USUAL = ("steps", "rank", "batch_size")
PROMPTS = ("instance_prompt", "class_prompt", "sample_prompts")
_OWN_CHOICES = ("method", "model", "dataset")


def recommended(services: Services, method: str, base: str | None) -> dict[str, Any]:
    """Return what the model's card recommends for a method, by field, and the defaults of what it may recommend."""
    card = as_ui_error(lambda: services.catalog.card(base)) if base else None
    usual = {
        name: field.default
        for name, field in TrainJob.model_fields.items()
        if name in USUAL or field.default is None
    }
    advice = card.advice(method) if card else {}
    return {name: value for name, value in {**usual, **advice}.items() if name not in _OWN_CHOICES}


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values of a widget say the same. An empty text is None, 5 is 5.0."""
    one, other = (None if value == "" else to_widget(value) for value in (one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def recommended_besides(services: Services, base: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the model's card recommends for class images generated before, and for a sweep, by field."""
    if not base:
        return {"model": None}, {}
    card = as_ui_error(lambda: services.catalog.card(base))
    rates = {"learning_rates": SweepJob.model_fields["learning_rates"].default, "unet_learning_rate": None}
    count = {"class_count": ClassImagesJob.model_fields["class_count"].default}
    return {"model": base, **count, **card.recommended.get("class_images", {})}, rates | card.sweep_rates()


def prefill(
    services: Services, kept: Kept, form: Form, class_form: Form, sweep_form: Form, advice: gr.Textbox
) -> gr.State:
    """Fill in the model card's recommendations when a base model or a method is chosen.

    Each choice fills in once, though the page asks again when it sets the choice itself. A field that holds another
    value than the one recommended before was typed into, and keeps it; the form's overview tells the recommendation.
    What the browser has kept wins over the recommendations when the page opens.

    Args:
        kept: the kept settings.
        class_form, sweep_form: take the recommendations for their own fields.
        advice: the overview's recommended values.

    Returns:
        The choice that was filled in last.
    """
    forms = (form, class_form, sweep_form)
    fields = [widget for each in forms for widget in each.inputs]
    filled = gr.State(None)

    def advised_on(method: str, base: str | None) -> tuple[dict[str, Any], ...]:
        return recommended(services, method, base), *recommended_besides(services, base)

    def filling(settings: Sequence[dict[str, Any]]) -> list[Any]:
        return [update for each, new in zip(forms, settings, strict=True) for update in each.prefill(new)]

    def chosen(method: str, base: str | None, before: list[Any] | None, *values: Any) -> list[Any]:
        if before == [method, base]:
            return [gr.skip() for _ in (*fields, filled)]
        left = iter(values)
        old = advised_on(*before) if before else ({}, {}, {})
        free = [
            untouched(each, old_advice, new_advice, list(islice(left, len(each.names))))
            for each, old_advice, new_advice in zip(forms, old, advised_on(method, base), strict=True)
        ]
        return [*filling(free), [method, base]]

    def opened(text: str | None, method: str, *choices: Any) -> dict[Any, Any]:
        fresh = refreshed(form, choices)
        mine = of_the_same_person(kept.settings(text, form))
        for name in fresh.keys() & mine.keys():
            fresh[name]["value"] = mine[name]
        method, found = mine.get("method", method), fresh["model"]["value"]
        training, *others = advised_on(method, found)
        answer = [*filling([training | mine, *others]), [method, found]]
        told = {advice: advised(method, found), kept.training: kept.told(form)}
        choosers = {form[name]: update for name, update in fresh.items()}
        return dict(zip([*fields, filled], answer, strict=True)) | choosers | told

    def rank_visible(method: str) -> Any:
        return gr.update(visible=method == "lora")

    def advised(method: str, base: str | None) -> str:
        return advice_text(recommended(services, method, base))

    method, base = form["method"], form["model"]
    assert isinstance(method, gr.Radio) and isinstance(base, gr.Dropdown)
    for chooser in (method, base):
        answers(chooser.change, chosen, [method, base, filled, *fields], [*fields, filled])
        chooser.change(advised, [method, base], advice, **QUIET)
    outputs = [*fields, filled, advice, kept.training]
    answers(kept.text.change, opened, [kept.text, method, *form.choosers], outputs)
    method.change(rank_visible, method, form["rank"], **QUIET)
    return filled


def untouched(
    form: Form, old: Mapping[str, Any], new: Mapping[str, Any], values: Sequence[Any]
) -> dict[str, Any]:
    """Return the new recommendations for fields that still hold the old one, or without one the field's default."""
    now = dict(zip(form.names, values, strict=True))
    usual = {name: form.model.model_fields[name].default for name in now} | dict(old)
    return {name: value for name, value in new.items() if name in now and same_value(now[name], usual[name])}


def follow_prompt(services: Services, form: Form, class_form: Form, sweep_form: Form) -> gr.State:
    """Fill in a chosen dataset's prompt and the prompts derived from it, as a training would.

    The first dataset leaves alone what was typed, or kept by the browser, before it.

    Returns:
        The dataset whose prompts were filled in last.
    """
    followed = gr.State(None)

    def chosen(name: str | None, before: str | None, *values: Any) -> list[Any]:
        if not name or name == before:
            return [gr.skip() for _ in (*outputs, followed)]
        dataset = as_ui_error(lambda: Dataset.load(services.workspace.find("datasets", name)))
        for remark in dataset.remarks:
            inform(remark)
        prompts = prompts_from(dataset.instance_prompt)
        free = [bool(before) or value == usual for value, usual in zip(values, defaults, strict=True)]
        told = [prompts.get(field, gr.skip()) for field, _ in outputs]
        return [*(text if is_free else gr.skip() for text, is_free in zip(told, free, strict=True)), name]

    outputs = [(name, form[name]) for name in ("instance_prompt", "class_prompt", "sample_prompts")]
    outputs += [("class_prompt", class_form["class_prompt"]), ("prompts", sweep_form["prompts"])]
    dataset = form["dataset"]
    assert isinstance(dataset, gr.Dropdown)
    widgets = [widget for _, widget in outputs]
    defaults = [getattr(widget, "value", None) for widget in widgets]
    answers(dataset.change, chosen, [dataset, followed, *widgets], [*widgets, followed])
    return followed


def of_the_same_person(settings: dict[str, Any]) -> dict[str, Any]:
    """Return kept settings without the prompts where the dataset that they belong to is gone."""
    gone = () if settings.get("dataset") else PROMPTS
    return {name: value for name, value in settings.items() if name not in gone}


def prompts_from(instance_prompt: str) -> dict[str, str]:
    """Return the forms' prompts by field, derived from a dataset's prompt, one per line."""
    usual = {"sample_prompts": TrainJob.model_fields, "prompts": SweepJob.model_fields}
    generated = {
        name: "\n".join(generated_from(fields[name].default, instance_prompt))
        for name, fields in usual.items()
    }
    followed = class_of(instance_prompt)
    return {
        "instance_prompt": instance_prompt,
        **generated,
        **({"class_prompt": followed} if followed else {}),
    }
