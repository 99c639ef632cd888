"""Session of a page: its user, the device, and errors as gradio shows them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from dreamgui.doctor import gpu_advice
from dreamgui.doctor.advice import Advice
from dreamgui.errors import DreamError
from dreamgui.services import Services
from dreamgui.ui.parts.toasts import failure

Result = TypeVar("Result")
QUIET: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    # Else the browser sends each listener's progress to every output, though none shows it.
    "show_progress_on": [],
    "concurrency_limit": None,
}
"""Options of private listeners that answer at once and don't wait for each other."""
PRESSED_AGAIN: dict[str, Any] = {"trigger_mode": "always_last"}
"""Option of buttons that are pressed several times: a press that comes before the answer to the one before counts."""


class Device:
    """Status of the device. Torch is imported in the background, so nobody waits for it.

    Attributes:
        advice: why a GPU of this machine isn't used and what to do; None where nothing is wrong, or not looked at yet.
    """

    def __init__(self, services: Services) -> None:
        self.advice: Advice | None = None
        self._services = services
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._load, name="load-torch", daemon=True)

    def load_in_background(self) -> None:
        """Start importing torch and diffusers ahead of the first job."""
        self._thread.start()

    def _load(self) -> None:
        self._services.models.status()
        self._ready.set()
        self.advice = gpu_advice()

    def status(self) -> dict[str, Any]:
        """Return the model manager's status, or that it is still starting."""
        return self._services.models.status() if self._ready.is_set() else {"device": "starting"}


def owner_of(request: gr.Request | None) -> str:
    """Return the login's name, empty without a login."""
    return (getattr(request, "username", None) or "") if request is not None else ""


def as_ui_error(action: Callable[[], Result]) -> Result:
    """Run a user's action. The page shows a DreamError as an error message.

    Raises:
        gr.Error: with the text of the DreamError.
    """
    try:
        return action()
    except DreamError as error:
        raise failure(str(error), duration=12, title="That didn't work") from error
