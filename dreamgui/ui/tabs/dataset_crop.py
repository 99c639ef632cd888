"""The selected crop: where it lies in its photograph, and everything that can be changed about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import gradio as gr

from dreamgui.config import Framing
from dreamgui.data.dataset import Dataset, Entry
from dreamgui.errors import BadPhoto
from dreamgui.ui.pictures import shown
from dreamgui.ui.session import QUIET
from dreamgui.ui.tabs.dataset_markup import MOST_FACES, crop_line, view_scale, view_with_boxes
from dreamgui.ui.watch import Updates

MOVE_SHARE = 0.06
GROWTH = 1.1
STEPS: dict[str, tuple[str, float, float, float]] = {
    "left": ("←", -MOVE_SHARE, 0, 1),
    "up": ("↑", 0, -MOVE_SHARE, 1),
    "down": ("↓", 0, MOVE_SHARE, 1),
    "right": ("→", MOVE_SHARE, 0, 1),
    "smaller": ("\N{MINUS SIGN}", 0, 0, 1 / GROWTH),
    "larger": ("+", 0, 0, GROWTH),
}
"""Buttons: label, move right and down as a share of the side, factor of the side."""
STEPS_LINE = (
    "<p>Tap the photograph where the middle of the square should be. Arrows move it, \N{MINUS SIGN} and + make "
    "it smaller and larger.</p>"
)
Action = Callable[..., Any]


class CropEditor:
    """The widgets that show and change one crop; :meth:`listen` connects them.

    Attributes:
        file: name of the selected crop, empty where none is.
    """

    def __init__(self) -> None:
        self.file = gr.State("")
        with gr.Group(visible=False, elem_id="dataset-edit") as self._panel, gr.Row():
            with gr.Column(scale=3, min_width=280) as self._place:
                self._photograph = gr.Image(
                    label="The photograph, dark outside the crop",
                    show_label=False,  # it would hide the top of the picture
                    elem_id="dataset-photograph",
                    height=380,
                    interactive=False,
                    buttons=[],
                    format="webp",
                )
                with gr.Row(elem_classes="dg-steps"):
                    self._steps = {
                        name: gr.Button(label, size="sm", min_width=36, elem_id=f"dataset-{name}")
                        for name, (label, *_) in STEPS.items()
                    }
                gr.HTML(STEPS_LINE, elem_classes="dg-crop-line")
            with gr.Column(scale=2, min_width=240):
                self._picture = gr.Image(
                    show_label=False, height=140, interactive=False, elem_id="dataset-picture", buttons=[]
                )
                self._line = gr.HTML(elem_id="dataset-crop-line", elem_classes="dg-crop-line")
                self._framing = gr.Radio(list(get_args(Framing)), label="Framing", elem_id="dataset-framing")
                self._face = gr.Radio(
                    label="Take another face instead", elem_id="dataset-face", visible=False
                )
                self._caption = gr.Textbox(
                    label="Caption (Enter saves it)", elem_id="dataset-caption", max_length=1000
                )
                self._aside = gr.Checkbox(
                    label="Hold this photograph out of the training", elem_id="dataset-hold-out"
                )
                self._drop = gr.Button("Drop this crop", size="sm", elem_id="dataset-drop")

    @property
    def outputs(self) -> list[Any]:
        """The components that :meth:`show` speaks of."""
        return [
            self.file, self._panel, self._place, self._photograph, self._picture, self._line, self._framing,
            self._face, self._caption, self._aside, self._drop,
        ]  # fmt: skip

    def show(self, dataset: Dataset, file: str) -> Updates:
        """Updates that show this crop; with an empty name nothing is shown."""
        if not file:
            return {self.file: "", self._panel: gr.update(visible=False)}
        entry = dataset.entry(file)
        try:
            view = view_with_boxes(dataset.photograph(file), entry)
        except BadPhoto:
            view = None
        faces = [(str(number + 2), number) for number in range(min(MOST_FACES, len(entry.others)))]
        return {
            self.file: file,
            self._panel: gr.update(visible=True),
            self._place: gr.update(visible=view is not None),
            self._photograph: view,
            self._picture: shown(dataset.path(entry)),
            self._line: crop_line(entry),
            self._framing: gr.update(value=entry.framing, interactive=view is not None),
            self._face: gr.update(choices=faces, value=None, visible=bool(faces) and view is not None),
            self._caption: entry.caption,
            self._aside: entry.held_out,
            self._drop: gr.update(value="Restore this crop" if entry.dropped else "Drop this crop"),
        }

    def without_caption(self, updates: Updates) -> Updates:
        """These updates, but the caption's field stays as it is: somebody may be writing in it meanwhile."""
        return {widget: update for widget, update in updates.items() if widget is not self._caption}

    def listen(
        self, change: Callable[[Action], Callable[..., Updates]], chosen: Any, outputs: list[Any]
    ) -> None:
        """Let the widgets change the crop.

        Args:
            change: makes a listener of (data set's name, crop's name, values) from an action on
                (data set, crop's name, values).
            chosen: holds the data set's name.
            outputs: what the listener updates.
        """
        place = [chosen, self.file]

        def tap(name: str, file: str, tapped: gr.SelectData) -> Updates:
            return change(_centre)(name, file, *tapped.index)

        self._photograph.select(tap, place, outputs, **QUIET)
        for name, button in self._steps.items():
            button.click(change(_step(name)), place, outputs, **QUIET)
        for widget, action in ((self._framing, Dataset.set_framing), (self._face, Dataset.choose_face)):
            widget.input(change(action), [*place, widget], outputs, **QUIET)
        self._caption.submit(change(Dataset.set_caption), [*place, self._caption], outputs, **QUIET)
        self._aside.input(change(Dataset.hold_out), [*place, self._aside], outputs, **QUIET)
        self._drop.click(change(_drop_or_restore), place, outputs, **QUIET)


def _step(name: str) -> Action:
    """Move or resize a crop's square by one step."""
    _, right, down, factor = STEPS[name]

    def action(dataset: Dataset, file: str) -> None:
        entry = dataset.entry(file)
        x, y, side = _square(entry)
        dataset.set_box(file, _around(x + right * side, y + down * side, side * factor))

    return action


def _centre(dataset: Dataset, file: str, x: float, y: float) -> None:
    """Move a crop's square to a point of the shown photograph."""
    entry = dataset.entry(file)
    scale, (_, _, side) = view_scale(entry), _square(entry)
    dataset.set_box(file, _around(x * scale, y * scale, side))


def _square(entry: Entry) -> tuple[float, float, int]:
    """Middle and side of a crop's square in pixels of the photograph."""
    left, top, right, bottom = entry.box
    return (left + right) / 2, (top + bottom) / 2, right - left


def _around(x: float, y: float, side: float) -> tuple[float, float, float, float]:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def _drop_or_restore(dataset: Dataset, file: str) -> None:
    if dataset.entry(file).dropped:
        dataset.restore(file)
    else:
        dataset.drop(file)
