"""Curves of a training: loss, and below it the likeness of the samples."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pandas as pd

from dreamgui.events import Loss, SampleLikeness
from dreamgui.ui.parts.stream import JobView, loss_frame

SERIES_COLOURS = {"instance": "#2b8676", "prior": "#c0803a"}
LOSS_PX, LIKENESS_PX, GAP_PX = 260, 180, 16
"""Heights of the plots, and the page's gap between two components."""


def loss_plot(elem_id: str) -> gr.LinePlot:
    """Place an empty plot, hidden until it has a curve."""
    return gr.LinePlot(
        x="step",
        y="loss",
        color="series",
        color_map=SERIES_COLOURS,
        elem_id=elem_id,
        height=LOSS_PX,
        visible=False,
        x_title="step",
        y_title="loss, smoothed",
        color_title=" ",
        buttons=[],
        show_label=False,
    )


def curve_of(losses: list[Loss], total_steps: int = 0) -> Any:
    """Return an update with the whole curve. The axis reaches to the last step, planned or made."""
    if not losses:
        return gr.update(visible=False)
    return gr.update(value=loss_frame(losses), x_lim=[0, max(total_steps, losses[-1].step)], visible=True)


def likeness_plot(elem_id: str) -> gr.LinePlot:
    """Place an empty plot of the samples' likeness, hidden until it has two points."""
    return gr.LinePlot(
        x="step",
        y="likeness",
        elem_id=elem_id,
        height=LIKENESS_PX,
        visible=False,
        x_title="step",
        y_title="likeness of the samples",
        y_lim=[0, 1],
        buttons=[],
        show_label=False,
    )


def likeness_of(looks: list[SampleLikeness], total_steps: int = 0) -> Any:
    """Return an update with the likeness by step. Looks without a face are gaps. The axis is that of the losses."""
    rows = _with_a_face(looks)
    if len(rows) < 2:
        return gr.update(visible=False)
    frame = pd.DataFrame(rows, columns=["step", "likeness"])
    return gr.update(value=frame, x_lim=[0, max(total_steps, rows[-1][0])], visible=True)


def _with_a_face(looks: list[SampleLikeness]) -> list[tuple[int, float]]:
    return [(look.step, look.value) for look in looks if look.value is not None]


def room_for_plots(view: JobView) -> str:
    """Return an element as high as the plots of a training, "" where none comes. The page hides it beside a plot.

    Gradio fetches the script of a plot when the first one is shown. What stands below would jump then.
    """
    if not view.all(Loss) and view.state not in ("waiting", "running"):
        return ""
    both = len(_with_a_face(view.all(SampleLikeness))) > 1
    return f'<div style="height:{LOSS_PX + both * (GAP_PX + LIKENESS_PX)}px"></div>'
