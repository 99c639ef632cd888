"""Editor of the pose's points: skeletons whose points are dragged, beside the control map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.config import ControlJob
from dreamgui.errors import DreamError
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.toasts import inform, warn

_SCRIPT = Path(__file__).with_name("pose_editor.js")
_STYLE = """
.dg-pose svg { display: block; width: 100%; max-width: 420px; background: #000; border-radius: 8px; touch-action: none; }
.dg-pose circle { cursor: grab; }
.dg-pose circle:focus { outline: none; stroke: #fff; stroke-width: 6px; }
.dg-pose-bar { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 8px; }
.dg-pose-bar button, .dg-pose-bar select { font-size: 13px; padding: 4px 10px; border-radius: 6px; border: 1px solid var(--border-color-primary); background: var(--button-secondary-background-fill); color: inherit; }
.dg-pose-bar button:disabled { opacity: .5; }
"""


class PoseEditor:
    """Skeletons with points to drag, and a button that takes them from the control image.

    Attributes:
        accordion: holds both; it is for poses only.
        points: the field ``pose``; its ``input`` event follows each change.
    """

    def __init__(self, form: Form) -> None:
        with gr.Accordion(
            "Pose points", open=False, visible=False, elem_id="control-pose-points"
        ) as self.accordion:
            self._take = gr.Button("Take points from image", size="sm", elem_id="control-take-pose")
            self.points = gr.HTML(
                "",
                html_template='<div class="dg-pose"></div>',
                css_template=_STYLE,
                js_on_load=_SCRIPT.read_text(encoding="utf-8"),
                elem_id="control-pose",
            )
        form.own("pose", self.points)

    def connect(self, form: Form) -> None:
        """Let the button fill the editor, once the form has all its fields."""
        self._take.click(
            lambda *values: points_of(form, *values), form.inputs, self.points, preprocess=False, **QUIET
        )


def points_of(form: Form, *values: Any) -> Any:
    """Return the points of the people in the control image as the editor's JSON, or no change where nobody is found."""
    given = dict(zip(form.names, values, strict=True))
    if not given["image"] or not given["models"]:
        inform("Add a control image and choose a model.")
        return gr.skip()
    try:
        job = form.read(*values, pose="", control="pose", second_control="none")
        assert isinstance(job, ControlJob)
        from dreamgui.diffusion.control.control_image import make_control_map
        from dreamgui.diffusion.control.own_pose import pose_text

        spec = form.services.catalog.spec(job.models[0])
        mapped = make_control_map(job, form.services.catalog.card(spec.base).size_px)
        return pose_text(mapped.people, mapped.map.size)
    except DreamError as error:
        warn(str(error), title="No points")
        return gr.skip()
