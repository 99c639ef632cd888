"""The mask of inpainting, painted over the start image."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.utils import get_upload_folder

from dreamgui.data.photos.load import load_image
from dreamgui.errors import BadInput, DreamError
from dreamgui.pictures.painted import painted_mask, strokes_of
from dreamgui.ui.parts.pictures import thumbnail_data
from dreamgui.ui.parts.session import QUIET, as_ui_error
from dreamgui.ui.parts.toasts import warn
from dreamgui.ui.parts.uploads import uploaded

SIDE_PX = 768
_SCRIPT = Path(__file__).with_name("mask_painter.js")
_STYLE = """
.dg-paint-board { position: relative; width: fit-content; max-width: 100%; line-height: 0; }
.dg-paint-board img { max-width: 100%; max-height: 420px; border-radius: 8px; }
.dg-paint-board canvas { position: absolute; inset: 0; width: 100%; height: 100%; opacity: .6; cursor: crosshair; touch-action: none; }
.dg-paint-bar { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; margin-top: 8px; }
.dg-paint-bar button { font-size: 13px; padding: 4px 10px; min-height: 32px; border-radius: 6px; border: 1px solid var(--border-color-primary); background: var(--button-secondary-background-fill); color: inherit; }
.dg-paint-bar button:disabled { opacity: .5; }
.dg-paint-bar button[aria-pressed=true] { outline: 2px solid var(--color-accent); }
.dg-paint-bar label { display: flex; align-items: center; gap: 6px; font-size: 13px; }
"""


class MaskPainter:
    """A brush over the start image, whose strokes become the mask's picture."""

    def __init__(self, image: Component, mask: Component) -> None:
        assert isinstance(image, gr.Image)
        painter = gr.HTML(
            None,
            html_template='<div class="dg-paint"></div>',
            css_template=_STYLE,
            js_on_load=_SCRIPT.read_text(encoding="utf-8"),
            elem_id="generate-paint",
        )
        image.change(_with_image, [image, painter], [painter, mask], preprocess=False, **QUIET)
        painter.input(
            lambda given: as_ui_error(lambda: mask_file(given)),
            painter,
            mask,
            preprocess=False,
            trigger_mode="always_last",
            **QUIET,
        )


def _with_image(image: Any, before: Any) -> tuple[Any, Any]:
    """Show another start image without strokes. A mask that was painted on the last one goes with it."""
    painted = isinstance(before, dict) and (before.get("strokes") or before.get("inverted"))
    mask = None if painted else gr.skip()
    if not image:
        return None, mask
    try:
        path = uploaded(image)
        view = load_image(path)
    except DreamError as error:
        warn(str(error), title="No start image")
        return None, mask
    view.thumbnail((SIDE_PX, SIDE_PX))
    picture = thumbnail_data(view, f"start image {path} {path.stat().st_mtime_ns}")
    return {"picture": picture, "size": list(view.size), "strokes": [], "inverted": False}, mask


def mask_file(given: Any) -> str | None:
    """Return a mask's file in gradio's cache from the painter's value, or None where nothing is painted.

    Raises:
        BadInput: the value isn't the painter's.
    """
    if not isinstance(given, dict):
        return None
    size, inverted = given.get("size"), given.get("inverted") is True
    if not (
        isinstance(size, list) and len(size) == 2 and all(type(n) is int and 0 < n <= SIDE_PX for n in size)
    ):
        raise BadInput("The painted mask has no size.", "Add the start image again.")
    strokes = strokes_of(given.get("strokes"))
    if not strokes and not inverted:
        return None
    mask = painted_mask(strokes, (size[0], size[1]), inverted)
    name = hashlib.sha256(repr((mask.size, mask.tobytes())).encode()).hexdigest()[:32]
    target = Path(get_upload_folder()) / "painted" / name / "mask.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    mask.save(target)
    return str(target)
