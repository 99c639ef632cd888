"""Who asks, and what the device is: what every tab needs to know of the running program."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from dreamgui.errors import DreamError
from dreamgui.services import Services

Result = TypeVar("Result")
QUIET: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    # Else the browser tells every output of every listener each listener's progress, though none shows it.
    "show_progress_on": [],
    "concurrency_limit": None,
}
"""For listeners that belong to the page alone, answer at once and don't wait for each other."""


class Device:
    """The device's status, never waited for: torch is imported in the background, after the page is up."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._load, name="load-torch", daemon=True)

    def load_in_background(self) -> None:
        """Begin to import torch and diffusers, so that the first job needn't."""
        self._thread.start()

    def _load(self) -> None:
        self._services.models.status()
        self._ready.set()

    def status(self) -> dict[str, Any]:
        """What the model manager says of itself, or that it is still being loaded."""
        return self._services.models.status() if self._ready.is_set() else {"device": "starting"}


def owner_of(request: gr.Request | None) -> str:
    """Who asks: the login's name, empty without a login."""
    return (getattr(request, "username", None) or "") if request is not None else ""


def told(action: Callable[[], Result]) -> Result:
    """Run something that a user asked for; what they can do something about is shown in the page.

    Raises:
        gr.Error: with the sentence of the DreamError.
    """
    try:
        return action()
    except DreamError as error:
        raise gr.Error(str(error), duration=12, title="That didn't work", print_exception=False) from error
