"""Pages that open cheaply on the server.

For each page that is opened, Gradio 6.31 describes all components anew, 1,300 here: 80 ms of a processor and 2 MB, also
for a made-up session. It needs that for links that carry a page's state, which this page doesn't offer. What a listener
changes is still described when it does.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.state_holder import StateHolder


class PageBlocks(gr.Blocks):
    """Blocks whose sessions begin without descriptions of their components."""

    @property
    def state_holder(self) -> StateHolder:
        """The sessions of the running program."""
        return self._holder

    @state_holder.setter
    def state_holder(self, holder: StateHolder) -> None:
        # A session describes those components of its configuration that are among these blocks.
        bare: Any = SimpleNamespace(default_config=self.default_config, blocks={})
        holder.blocks = bare
        self._holder = holder
