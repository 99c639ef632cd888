"""Messages in the page's corner, as plain text.

Gradio renders them as HTML, and their words come from files: a tensor named ``<img src=...>`` would be fetched.
"""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr


def inform(text: str, **options: Any) -> None:
    """Show a message."""
    gr.Info(as_text(text), **options)


def warn(text: str, **options: Any) -> None:
    """Show a warning."""
    gr.Warning(as_text(text), **options)


def failure(text: str, **options: Any) -> gr.Error:
    """Return an error to be raised, which the page shows."""
    return gr.Error(as_text(text), print_exception=False, **options)


def as_text(text: str) -> str:
    """Return a text that the page shows letter by letter. Quotes stay, as programs read these sentences too."""
    return escape(text, quote=False)
