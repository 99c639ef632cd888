"""Presets of the Train tab: saved, loaded from a file of ours or of another program, with a list of what was taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.presets.account import heading, label_of, text_of
from dreamgui.presets.files import preset_text, read_preset
from dreamgui.presets.reading import Reading
from dreamgui.presets.shelf import delete_preset, find_preset, preset_names, save_preset
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.pictures import place_for
from dreamgui.ui.parts.session import QUIET, as_ui_error
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.widgets import WORDS, to_widget
from dreamgui.ui.tabs.train.filling import same_value

_PRESS = "() => setTimeout(() => document.querySelector('#train-preset-as-file').click(), 300)"


class Presets:
    """Closed accordion: a file field, the saved presets, and the account of the one that was loaded last."""

    def __init__(self, services: Services, form: Form) -> None:
        self._services, self._form = services, form
        self._before = gr.State(None)
        with gr.Accordion("Presets", open=False, elem_id="train-presets"):
            self._file = gr.File(
                label="Settings of DreamGUI, kohya_ss, sd-scripts or OneTrainer",
                file_types=[".json", ".toml"],
                elem_id="train-preset-file",
                height=120,
            )
            with gr.Row(elem_classes="dg-buttons"):
                names = preset_names(services.workspace)
                self._saved = gr.Dropdown(
                    names, value=None, label="Saved presets", elem_id="train-preset-saved"
                )
                self._use = gr.Button("Use", size="sm", elem_id="train-preset-use", min_width=70, scale=0)
                self._gone = gr.Button(
                    "Delete", size="sm", elem_id="train-preset-delete", min_width=80, scale=0
                )
            with gr.Row(elem_classes="dg-buttons"):
                self._name = gr.Textbox(label="Preset name", elem_id="train-preset-name", max_length=80)
                self._save = gr.Button("Save", size="sm", elem_id="train-preset-save", min_width=70, scale=0)
                self._share = gr.Button(
                    "Download", size="sm", elem_id="train-preset-download", min_width=100, scale=0
                )
            self._as_file = gr.DownloadButton("File", elem_id="train-preset-as-file", visible="hidden")
            self._told = gr.HTML(elem_id="train-preset-told")
            self._undo = gr.Button(
                "Restore previous values", size="sm", visible=False, elem_id="train-preset-undo"
            )

    def follow(self, filled: gr.State, watch_load: Any) -> None:
        """Connect the widgets.

        Args:
            filled: the choice of method and base that was filled in last.
            watch_load: event of the page's opening.
        """
        fields = self._form.inputs
        outputs = [*fields, filled, self._told, self._undo, self._before]
        answers(self._file.upload, self._of_file, [self._file, *fields], outputs)
        answers(self._use.click, self._of_shelf, [self._saved, *fields], outputs)
        answers(self._undo.click, self._put_back, [self._before], outputs)
        answers(self._save.click, self._keep, [self._name, *fields], [self._saved])
        answers(self._gone.click, self._delete, [self._saved], [self._saved])
        answers(watch_load, lambda name: self._choices(name), [self._saved], [self._saved])
        made = self._share.click(self._written, [self._name, *fields], self._as_file, **QUIET)
        made.success(None, js=_PRESS, **QUIET)

    def _of_file(self, path: str | None, *values: Any) -> list[Any]:
        return self._filling(as_ui_error(lambda: read_preset(Path(path or ""))), values)

    def _of_shelf(self, name: str | None, *values: Any) -> list[Any]:
        workspace = self._services.workspace
        return self._filling(as_ui_error(lambda: read_preset(find_preset(workspace, name or ""))), values)

    def _filling(self, reading: Reading, values: Sequence[Any]) -> list[Any]:
        """Return updates that fill in the settings and tell each change. What was there before can be put back."""
        form, before = self._form, dict(zip(self._form.names, values, strict=True))
        settings = {name: value for name, value in reading.settings.items() if name in before}
        known = {
            "model": self._services.catalog.bases(),
            "dataset": self._services.workspace.names("datasets"),
        }
        for name, names in known.items():
            if name in settings and settings[name] not in names:
                reading.leave(name, f"there is no {settings.pop(name)!r} here")
        changes = {name: value for name, value in settings.items() if not same_value(before[name], value)}
        choice = [settings.get(name, before[name]) for name in ("method", "model")]
        told = account(reading, before, changes, len(settings) - len(changes))
        return [*form.prefill(changes), choice, told, gr.update(visible=bool(changes)), before]

    def _put_back(self, before: Mapping[str, Any] | None) -> list[Any]:
        form, values = self._form, dict(before or {})
        choice = [values.get("method"), values.get("model")]
        return [*form.prefill(values), choice, "", gr.update(visible=False), None]

    def _keep(self, name: str | None, *values: Any) -> Any:
        settings = self._settings(values)
        kept = as_ui_error(lambda: save_preset(self._services.workspace, name or "", settings))
        inform(f"Saved the preset {kept}. It leaves out person, run name and folders.")
        return self._choices(kept)

    def _delete(self, name: str | None) -> Any:
        as_ui_error(lambda: delete_preset(self._services.workspace, name or ""))
        return self._choices(None)

    def _choices(self, name: str | None) -> Any:
        names = preset_names(self._services.workspace)
        return gr.update(choices=names, value=name if name in names else None)

    def _written(self, name: str | None, *values: Any) -> str:
        """Write the form's settings as a preset into gradio's cache and return its path."""
        text = preset_text(self._settings(values))
        safe = "".join(letter for letter in (name or "") if letter.isalnum() or letter in "-_")
        folder = place_for(self._services.workspace.root / "presets")
        target = folder / f"{safe or 'dreamgui-preset'}.json"
        target.write_text(text, encoding="utf-8")
        return str(target)

    def _settings(self, values: Sequence[Any]) -> dict[str, Any]:
        return as_ui_error(lambda: self._form.read(*values)).model_dump()


def account(reading: Reading, before: Mapping[str, Any], changes: Mapping[str, Any], alike: int) -> str:
    """Return the account of a loaded preset as HTML: each field's value before and now, and what was left out."""
    rows = "".join(
        f"<tr><td>{escape(label_of(name))}</td><td>{escape(text_of(_plain(before[name])))}</td>"
        f"<td><b>{escape(text_of(_plain(value)))}</b></td></tr>"
        for name, value in changes.items()
    )
    table = (
        '<table class="dg-table"><thead><tr><th>Setting</th><th>Before</th><th>Now</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        if rows
        else ""
    )
    held = f"<p>{alike} more settings already had the file's value.</p>" if alike else ""
    left = "".join(f"<li><b>{escape(key)}</b>: {escape(why)}</li>" for key, why in reading.left.items())
    out = (
        f'<details open><summary>Left out</summary><ul class="dg-notes">{left}</ul></details>' if left else ""
    )
    off = ", ".join(reading.off)
    rest = (
        f"<details><summary>Off in the file, unknown here</summary><p>{escape(off)}</p></details>"
        if off
        else ""
    )
    return (
        f'<div class="dg-card" role="status"><b>{escape(heading(reading))}</b>{table}{held}{out}{rest}</div>'
    )


def _plain(value: Any) -> Any:
    """Return a field's value on one line, a choice by its name in the page."""
    value = to_widget(value)
    return WORDS.get(value) or "; ".join(value.splitlines()) if isinstance(value, str) else value
