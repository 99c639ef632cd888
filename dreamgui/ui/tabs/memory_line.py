"""What the memory tier would turn on, said beside the form before anything is started."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from dreamgui.config import TrainJob
from dreamgui.errors import DreamError
from dreamgui.services import Services
from dreamgui.ui.form import Form
from dreamgui.ui.session import QUIET

FIELDS = (
    *(
        "method",
        "model",
        "rank",
        "memory_tier",
        "batch_size",
        "accumulate",
        "processes",
        "shard",
        "prior_preservation",
    ),
    *("optimizer", "gradient_checkpointing", "optimizer_in_backward", "bf16_weights"),
    *("ema_decay", "train_text_encoder", "lora_targets", "compile"),
)
"""What the choice depends on."""


class MemoryLine:
    """A line that follows the form. It is empty where nothing is chosen, as without a graphics card."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._line = gr.HTML(elem_id="train-memory")

    def follows(self, form: Form) -> None:
        """Once the form has all its widgets."""
        widgets: list[Any] = [form[name] for name in FIELDS if name in form.names]

        def say(*values: Any) -> str:
            return self.text(form, *values)

        gr.on([widget.change for widget in widgets], say, form.inputs, self._line, **QUIET)

    def text(self, form: Form, *values: Any) -> str:
        """The choice, or why there can't be one; nothing while torch is still being imported."""
        if not self._services.ready:
            return ""
        from dreamgui.recipes.tiers import fitted

        try:
            job = form.read(*values)
            assert isinstance(job, TrainJob)
            told = fitted(job, self._services.models).told
        except DreamError as error:
            told = str(error)
        return f'<p class="dg-idle">{escape(told)}</p>' if told else ""
