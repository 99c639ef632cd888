"""A page's standing look at one kind of job.

It begins when the page opens, so a page that opens in the middle of a training shows the whole curve and all
samples; it goes on while the page is open, so it also sees what another page, a program or a click here starts.
Coroutines wait here, no threads: fifty open pages cost fifty timers. Closing the page ends the watch and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from dreamgui.jobs import Jobs
from dreamgui.ui.stream import JobView

LOOK_SECONDS = 0.35
HEARTBEAT_SECONDS = 10.0
Updates = dict[Component, Any]
Render = Callable[[JobView], Updates]


async def watch(jobs: Jobs, kind: str, render: Render) -> AsyncIterator[Updates]:
    """Yield ``render(view)`` whenever the newest job of this kind has news, at most three times a second.

    ``render`` gets ``view.fresh`` filled with all event classes seen when the job is new to this page, so that it
    draws everything; later only with the classes that have news. A heartbeat lets gradio notice a page that is gone.
    """
    view, told = JobView(), time.monotonic()
    first = True
    while True:
        job = jobs.latest(kind)
        is_new = job is not view.job or first
        if is_new:
            view, first = JobView(job), False
        if view.catch_up() or is_new:
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

    blocks.load(
        look, None, list(outputs), show_progress="hidden", concurrency_limit=None, api_visibility="private"
    )
