"""Threads that work ahead end soon after nobody wants their results any more."""

from __future__ import annotations

import threading

from dreamgui.errors import StopRequested

_here = threading.local()


def work_until(left: threading.Event) -> None:
    """Let :func:`go_on` end the calling thread's work once this event is set."""
    _here.left = left


def go_on() -> None:
    """Return at once, unless nobody wants this thread's work any more.

    Raises:
        StopRequested: nobody does.
    """
    left: threading.Event | None = getattr(_here, "left", None)
    if left is not None and left.is_set():
        raise StopRequested
