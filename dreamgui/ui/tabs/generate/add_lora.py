"""A LoRA of another program, uploaded: it becomes a run and is chosen as the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from dreamgui.config import ImportJob
from dreamgui.errors import DreamError
from dreamgui.events import Saved
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.watch import Updates, Watch

IDLE = "A LoRA file of kohya, OneTrainer, ai-toolkit, diffusers or civitai becomes a run."


class AddLora:
    """Closed accordion with a form for a LoRA file."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.form = Form(ImportJob, services, "import")
        self._panel = RunPanel(services, "import", "import", IDLE)
        with gr.Accordion("Add a LoRA file", open=False, elem_id="import-section"):
            self._file = gr.File(
                label=ImportJob.model_fields["file"].title,
                file_types=[".safetensors", ".pt", ".bin", ".ckpt"],
                type="filepath",
                elem_id="import-file",
                height=110,
            )
            self.form.own("file", self._file)
            self.form.front()
            self._panel.place_buttons("Add")
            self._panel.place_progress()
        self._panel.runs(self.form, read=self._read)
        answers(self._file.upload, self._told, [self._file], self.form.inputs)

    def attach(self, watch: Watch, model: Component) -> None:
        """Follow imports. A finished one is chosen in this dropdown of models."""

        def render(view: JobView) -> Updates:
            updates: Updates = self._panel.updates(view)
            saved = view.last(Saved)
            if view.news(Saved) and saved is not None and not view.new:
                updates[model] = gr.update(choices=self._services.catalog.all_names(), value=saved.name)
            return updates

        watch.attach("import", render, [*self._panel.outputs, model])

    def _told(self, path: str | None) -> list[Any]:
        """Fill in what the file's metadata tells, and ask for the rest."""
        if not path:
            return [gr.skip() for _ in self.form.inputs]
        settings, sentence = settings_in(Path(path), self._services.catalog)
        inform(sentence, duration=10)
        return self.form.prefill(settings)

    def _read(self, *values: Any) -> Any:
        """Return the job. Its run is named as the file is, unless a name was typed."""
        given = self.form.values(*values)
        name = given.get("run") or (Path(given["file"]).stem if given.get("file") else "")
        return self.form.read(*values, run=name)


def settings_in(path: Path, catalog: Catalog) -> tuple[dict[str, Any], str]:
    """Return fields of an import that a LoRA's metadata tells, and a sentence on what is left to say."""
    from dreamgui.models.recognition.lora_metadata import named_base, trigger_words
    from dreamgui.models.recognition.recognise import read_any_header

    try:
        metadata = read_any_header(path)[1].metadata
        bases = {name: catalog.card(name).sha256 for name in catalog.bases()}
    except DreamError as error:
        return {}, str(error)
    words, base = trigger_words(metadata), named_base(metadata, bases)
    settings = ({"trigger": words} if words else {}) | ({"base": base} if base else {})
    asked = [] if words else ["the trigger words"]
    asked += [] if base or len(bases) < 2 else ["the base model"]
    if not asked:
        return settings, f"{path.name} names its trigger words and its base model. Both are filled in."
    return settings, f"{path.name} doesn't name {' or '.join(asked)}. Fill in what is missing, then add it."
