"""Line with the effects of the memory tier, shown before the start."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from dreamgui.config import TrainJob
from dreamgui.errors import DreamError
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.session import QUIET

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
"""Fields that decide the choice."""


class MemoryLine:
    """Line that follows the form, empty where the tier turns nothing on, as without a GPU."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._line = gr.HTML(elem_id="train-memory")

    def follows(self, form: Form) -> None:
        """Follow the form, which must have all its widgets."""
        widgets: list[Any] = [form[name] for name in FIELDS if name in form.names]

        def say(*values: Any) -> str:
            return self.text(form, *values)

        gr.on([widget.change for widget in widgets], say, form.inputs, self._line, **QUIET)

    def text(self, form: Form, *values: Any) -> str:
        """Return the choice, or the reason against one, or "" while torch is still being imported."""
        if not self._services.ready:
            return ""
        from dreamgui.training.memory.tiers import fitted

        try:
            job = form.read(*values)
            assert isinstance(job, TrainJob)
            line = fitted(job, self._services.models).sentence
        except DreamError as error:
            line = str(error)
        return f'<p class="dg-idle">{escape(line)}</p>' if line else ""
