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
        result: Callable[[JobView], str] | None = None,
    ) -> None:
        """Place the button for results of the kind ``what`` ("dataset", "model").

        Args:
            detour: gives label and tab of something that is missing for the next step; None where nothing is.
            result: gives the name of a job's result, "" without one; that of the result saved last unless given.
        """
        self._label, self._detour = label, detour
        self._result = result or (lambda view: _saved_last(view, what))
        self._name = gr.State("")
        self._button = gr.Button(
            label, size="sm", variant="primary", visible=False, elem_id=elem_id, min_width=160
        )

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [self._name, self._button]

    def show(self, view: JobView) -> Updates:
        """Show the button for the job's result. Hide it without one."""
        name = self._result(view) if isinstance(view.ending, Done) else ""
        label = (self._detour() or (self._label, ""))[0]
        return {self._name: name, self._button: gr.update(visible=bool(name), value=label)}

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


def _saved_last(view: JobView, what: str) -> str:
    found = [item.name for item in view.all(Saved) if item.what == what]
    return found[-1] if found else ""
