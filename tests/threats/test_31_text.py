"""31 and 12: words out of files and requests are text, wherever the page shows them."""

from __future__ import annotations

import ast
from pathlib import Path

import gradio as gr
import pytest

import dreamgui
from dreamgui.errors import BadInput
from dreamgui.ui.parts import toasts
from dreamgui.ui.parts.session import as_ui_error

PICTURE = "<img src=http://evil.example/x onerror=alert(1)>"
ROOM = Path(dreamgui.__file__).parent / "ui"


def refuse() -> None:
    raise BadInput(f"The tensor '{PICTURE}' isn't finite.", "Use another file.")


def test_a_toast_holds_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    for name in ("Info", "Warning"):
        monkeypatch.setattr(gr, name, lambda text, **_: said.append(text))
    toasts.inform(PICTURE)
    toasts.warn(PICTURE, title="x")
    with pytest.raises(gr.Error) as caught:
        as_ui_error(refuse)
    said.append(str(caught.value.message))
    assert len(said) == 3 and not [text for text in said if "<" in text]
    assert "The tensor '&lt;img src=http" in said[-1]


def test_no_toast_is_shown_past_that() -> None:
    past = [
        f"{path.name}:{node.lineno}"
        for path in ROOM.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("gr.Info", "gr.Warning", "gr.Error")
        if path.name != "toasts.py"
    ]
    assert not past
