"""Button of a finished job that leads to the next tab, filled in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from dreamgui.events import Done, Saved
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.watch import Updates


class NextStep:
    """Button that is visible once a job has ended well and saved something of its kind."""

    def __init__(
        self,
        label: str,
        elem_id: str,
        what: str,
        detour: Callable[[], tuple[str, str] | None] = lambda: None,
    ) -> None:
        """Place the button for results of the kind ``what`` ("dataset", "model").

        Args:
            detour: gives label and tab of something that is missing for the next step; None where nothing is.
        """
        self._what, self._label, self._detour = what, label, detour
        self._name = gr.State("")
        self._button = gr.Button(
            label, size="sm", variant="primary", visible=False, elem_id=elem_id, min_width=160
        )

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [self._name, self._button]

    def show(self, view: JobView) -> Updates:
        """Show the button for the result that was saved last. Hide it without one."""
        found = [item.name for item in view.all(Saved) if item.what == self._what]
        there = bool(found) and isinstance(view.ending, Done)
        label = (self._detour() or (self._label, ""))[0]
        button = gr.update(visible=there, value=label)
        return {self._name: found[-1] if there else "", self._button: button}

    def leads(self, connect: Callable[[Callable[..., Any]], None]) -> None:
        """Hand the event of the button's press to whoever fills in the next tab."""
        connect(self._button.click)

    def goes(self, tab: str, chooser: Component, names: Callable[[], list[str]], tabs: gr.Tabs) -> None:
        """Let the button choose the result in a chooser of another tab, and open that tab.

        Args:
            tab: the tab's id.
            chooser: a dropdown there.
            names: gives what can be chosen there now.
            tabs: the page's tabs.
        """
        answers(
            self._button.click,
            lambda name: gr.update(choices=names(), value=name),
            [self._name],
            [chooser],
        )
        self._button.click(lambda: gr.Tabs(selected=(self._detour() or ("", tab))[1]), None, tabs, **QUIET)
