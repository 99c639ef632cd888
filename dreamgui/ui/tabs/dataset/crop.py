"""Editor of the selected crop: its place in the photograph, framing, face, caption, hold-out and drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import gradio as gr

from dreamgui.config import Framing
from dreamgui.data.dataset.dataset import Dataset, Entry
from dreamgui.errors import BadPhoto
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.pictures import shown
from dreamgui.ui.parts.session import PRESSED_AGAIN
from dreamgui.ui.parts.watch import Updates
from dreamgui.ui.tabs.dataset.markup import MOST_FACES, crop_line, view_scale, view_with_boxes

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
STEPS_LINE = "<p>Tap the new middle of the crop in the photograph. Arrows move the crop, \N{MINUS SIGN} and + resize it.</p>"
Action = Callable[..., Any]


class CropEditor:
    """Widgets that show and change one crop. :meth:`listen` connects them.

    Attributes:
        file: name of the selected crop, or empty. The page holds it, so that a click changes the crop that was shown
            at that moment.
    """

    def __init__(self) -> None:
        self.file = gr.Textbox(visible=False)
        self._captioned = gr.Textbox(visible=False)
        with gr.Group(visible=False, elem_id="dataset-edit") as self._panel, gr.Row():
            with gr.Column(scale=3, min_width=280) as self._place:
                self._photograph = gr.Image(
                    label="Photograph",
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
                with gr.Row(elem_classes="dg-steps"):
                    self.earlier = gr.Button("Previous", size="sm", elem_id="dataset-previous", min_width=90)
                    self.later = gr.Button("Next", size="sm", elem_id="dataset-following", min_width=90)
                self._picture = gr.Image(
                    show_label=False, height=140, interactive=False, elem_id="dataset-picture", buttons=[]
                )
                self._line = gr.HTML(elem_id="dataset-crop-line", elem_classes="dg-crop-line")
                self._framing = gr.Radio(list(get_args(Framing)), label="Framing", elem_id="dataset-framing")
                self._face = gr.Radio(label="Other face", elem_id="dataset-face", visible=False)
                self._caption = gr.Textbox(
                    label="Caption", info="Enter saves it.", elem_id="dataset-caption", max_length=1000
                )
                self._held_out = gr.Checkbox(
                    label="Hold out photograph", info="Not used in training.", elem_id="dataset-hold-out"
                )
                self._drop = gr.Button("Drop crop", size="sm", elem_id="dataset-drop")

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [
            self.file, self._panel, self._place, self._photograph, self._picture, self._line, self._framing,
            self._face, self._captioned, self._caption, self._held_out, self._drop,
        ]  # fmt: skip

    def answers(
        self,
        event: Callable[..., Any],
        action: Action,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        **options: Any,
    ) -> None:
        """Register a listener whose answer keeps a caption typed in the meantime.

        An unsaved caption stays with its crop, whichever crop is shown.
        """
        answers(event, action, inputs, outputs, together=[self._captioned, self._caption], **options)

    def show(self, dataset: Dataset, file: str) -> Updates:
        """Return updates that show this crop. An empty name hides the editor."""
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
            self._captioned: file,
            self._caption: entry.caption,
            self._held_out: entry.held_out,
            self._drop: gr.update(value="Restore crop" if entry.dropped else "Drop crop"),
        }

    def without_caption(self, updates: Updates) -> Updates:
        """Return these updates without the caption's field, as the user may be typing in it."""
        kept = (self._captioned, self._caption)
        return {widget: update for widget, update in updates.items() if widget not in kept}

    def listen(
        self, change: Callable[[Action], Callable[..., Updates]], chosen: Any, outputs: list[Any]
    ) -> None:
        """Connect the widgets to changes of the crop.

        Args:
            change: makes a listener of (dataset's name, crop's name, values) from an action on
                (dataset, crop's name, values).
            chosen: widget with the dataset's name.
            outputs: components that the listener updates.
        """
        place = [chosen, self.file]

        def tap(name: str, file: str, tapped: gr.SelectData) -> Updates:
            return change(_centre)(name, file, *tapped.index)

        self.answers(self._photograph.select, tap, place, outputs)
        for name, button in self._steps.items():
            self.answers(button.click, change(_step(name)), place, outputs, **PRESSED_AGAIN)
        for widget, action in ((self._framing, Dataset.set_framing), (self._face, Dataset.choose_face)):
            self.answers(widget.input, change(action), [*place, widget], outputs)
        captioned = [chosen, self._captioned, self._caption]
        self.answers(self._caption.submit, change(Dataset.set_caption), captioned, outputs)
        self.answers(self._held_out.input, change(Dataset.hold_out), [*place, self._held_out], outputs)
        self.answers(self._drop.click, change(_drop_or_restore), place, outputs)


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
    """Return middle and side of a crop's square in pixels of the photograph."""
    left, top, right, bottom = entry.box
    return (left + right) / 2, (top + bottom) / 2, right - left


def _around(x: float, y: float, side: float) -> tuple[float, float, float, float]:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def _drop_or_restore(dataset: Dataset, file: str) -> None:
    if dataset.entry(file).dropped:
        dataset.restore(file)
    else:
        dataset.drop(file)
