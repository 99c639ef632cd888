"""Settings from a picture's file: ours, or one that A1111 or a program like it wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import gradio as gr
from pydantic import ValidationError

from dreamgui.config import GenerateJob, SchedulerName
from dreamgui.diffusion.word_weights import fragments_of
from dreamgui.errors import DreamError
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.pictures.store import Found, read_picture
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.toasts import inform, warn

_PATHS = ("image", "mask", "out")
_SHOWN_CHARACTERS = 200
_TELLS_NOTHING = re.compile(r"hash|version|date|^civitai", re.IGNORECASE)
"""Names of another program's pairs that set nothing."""


class SettingsFromFile:
    """Closed accordion with a place to drop a picture on."""

    def __init__(self) -> None:
        with gr.Accordion("Settings from a picture", open=False, elem_id="generate-from-file"):
            self._file = gr.File(
                label="A PNG of DreamGUI or A1111",
                file_types=[".png", ".jpg", ".jpeg", ".webp"],
                type="filepath",
                elem_id="generate-file",
                height=110,
            )

    def fills(self, form: Form) -> None:
        """Fill in this form when a picture is dropped."""

        def fill(path: str | None) -> list[Any]:
            if not path:
                return [gr.skip() for _ in form.inputs]
            try:
                settings, remarks = settings_of(read_picture(Path(path)), form.services.catalog)
            except DreamError as error:
                warn(str(error), title="No settings found")
                return [gr.skip() for _ in form.inputs]
            inform(" ".join(["The settings are filled in.", *remarks]), duration=10)
            return form.prefill(settings)

        answers(self._file.upload, fill, [self._file], form.inputs)


def settings_of(found: Found, catalog: Catalog) -> tuple[dict[str, Any], list[str]]:
    """Return fields of a generate job from a picture's texts, and sentences on what has no counterpart here."""
    remarks = list(found.remarks)
    settings = dict(found.job) if found.job else _of_other_program(found, catalog, remarks)
    settings = _usable(settings, remarks)
    if (model := settings.get("model")) and model not in catalog.all_names():
        remarks.append(f"There is no model {model!r} here. The chosen one is kept.")
        del settings["model"]
    return settings, remarks


def _usable(settings: Mapping[str, Any], remarks: list[str]) -> dict[str, Any]:
    """The settings that a generate job takes. A file may hold anything. A path in it is never followed."""
    known = {
        name: settings[name] for name in settings if name in GenerateJob.model_fields and name not in _PATHS
    }
    try:
        GenerateJob.model_validate(known)
        wrong = set()
    except ValidationError as error:
        wrong = {each["loc"][0] for each in error.errors() if each["loc"]} & set(known)
    if left_out := [name for name in settings if name not in known or name in wrong]:
        remarks.append(f"Left out, as unknown or out of range: {', '.join(left_out)[:_SHOWN_CHARACTERS]}.")
    return {name: value for name, value in known.items() if name not in wrong}


def _of_other_program(found: Found, catalog: Catalog, remarks: list[str]) -> dict[str, Any]:
    made = found.made
    width, height = made.size_px
    settings: dict[str, Any] = {"prompt": made.prompt, "negative_prompt": made.negative_prompt}
    texts = (made.prompt, made.negative_prompt)
    known: Mapping[str, Any] = {
        "word_weights": any(part.weight != 1 for text in texts for part in fragments_of(text)),
        "steps": made.steps,
        "guidance_scale": made.guidance_scale,
        "scheduler": made.sampler if made.sampler in get_args(SchedulerName) else "",
        "size": f"{width // 8 * 8}x{height // 8 * 8}" if width else "",
        "model": _model_of(found, catalog),
    }
    settings |= {name: value for name, value in known.items() if value}
    if made.seed is not None and 0 <= made.seed < 2**31:
        settings["seed"] = made.seed
    elif made.seed is not None:
        remarks.append(f"Seed {made.seed} exceeds the maximum, {2**31 - 1}. The seed chosen before stays.")
    here = {name for name in catalog.all_names() if name not in catalog.bases()}
    settings["loras"] = tuple(f"{name}:{strength:g}" for name, _, strength in made.loras if name in here)
    absent = [name for name, _, _ in made.loras if name not in here]
    if absent:
        remarks.append(f"These LoRAs aren't here: {', '.join(absent)}.")
    if strange := [name for name in made.more if not _TELLS_NOTHING.search(name)]:
        names = ", ".join(strange)[:_SHOWN_CHARACTERS]
        remarks.append(f"Not supported here, so the picture may differ: {names}.")
    return settings


def _model_of(found: Found, catalog: Catalog) -> str:
    """Return our base model with a picture's model hash, else that of its name, else ""."""
    cards = []
    for name in catalog.bases():
        try:
            cards.append(catalog.card(name))
        except DreamError:
            continue
    by_hash = (
        card.name for card in cards if found.made.model_hash and card.sha256.startswith(found.made.model_hash)
    )
    return next(by_hash, found.made.model if found.made.model in catalog.bases() else "")
