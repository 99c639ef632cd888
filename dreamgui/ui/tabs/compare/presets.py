"""Presets of a comparison: buttons that fill in prompts and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import gradio as gr

from dreamgui.config import PRESETS, CompareJob, Preset
from dreamgui.services import Services
from dreamgui.training.prompts import followed_run
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers


def presets(services: Services, form: Form) -> None:
    """Place the buttons of the presets, which fill in prompts and seeds. Prompts follow the first run chosen."""
    with gr.Row(elem_classes="dg-buttons"):
        for name, (prompts, seeds) in PRESETS.items():
            title = f"{name.capitalize()} ({len(prompts)} x {seeds})"
            button = gr.Button(title, size="sm", elem_id=f"compare-preset-{name}", min_width=90)
            filled = [form["prompts"], form["seeds"]]
            answers(button.click, partial(preset_values, services, name), [form["models"]], filled)


def preset_values(services: Services, name: Preset, models: Sequence[str]) -> tuple[str, int]:
    """Return a preset's prompts, one a line, and its seeds per prompt.

    Args:
        services: with the catalog in which runs are looked up.
        name: of the preset.
        models: chosen models; the prompts are those of the first run's person.
    """
    known = [model for model in models if model in services.catalog.names()]
    job = CompareJob(preset=name).with_preset()
    if known:
        job = CompareJob(models=tuple(known), preset=name).with_preset()
        job, _ = followed_run(job, services.workspace, services.catalog)
    return "\n".join(job.prompts), job.seeds
