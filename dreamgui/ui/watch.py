"""A page's standing look at one kind of job.

It begins when the page opens, so a page that opens in the middle of a training shows the whole curve and all
samples; it goes on while the page is open, so it also sees what another page, a program or a click here
starts. Coroutines wait here, no threads: fifty open pages cost fifty timers. Closing the page ends the watch
and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from dreamgui.jobs import Jobs
from dreamgui.ui.session import QUIET
from dreamgui.ui.stream import JobView

LOOK_SECONDS = 0.35
HEARTBEAT_SECONDS = 10.0
Updates = dict[Block, Any]
Render = Callable[[JobView], Updates]


async def watch(jobs: Jobs, kind: str, render: Render) -> AsyncIterator[Updates]:
    """Yield ``render(view)`` whenever the newest job of this kind has news, at most three times a second.

    At the first look at a job ``view.new`` is set and everything is drawn; later only what has news. A
    heartbeat lets gradio notice a page that is gone.
    """
    view, told = JobView(jobs.latest(kind)), time.monotonic()
    while True:
        job = jobs.latest(kind)
        if job is not view.job:
            view = JobView(job)
        if view.catch_up():
            yield await asyncio.to_thread(render, view)
            told = time.monotonic()
        elif time.monotonic() - told > HEARTBEAT_SECONDS:
            yield gr.skip()
            told = time.monotonic()
        await asyncio.sleep(LOOK_SECONDS)


def attach(blocks: gr.Blocks, jobs: Jobs, kind: str, render: Render, outputs: Sequence[Component]) -> None:
    """Watch this kind of job from the moment a page opens."""

    async def look() -> AsyncIterator[Updates]:
        async for updates in watch(jobs, kind, render):
            yield updates

    blocks.load(look, None, list(outputs), **QUIET)
