"""A page's look at the jobs.

One watch a page goes on while the page is open. It keeps the line in the head, and a hidden text for each
kind of job that holds the newest job's name. When such a text changes, also right after the page has opened,
a follower draws that job and stays with it until its end. So a page sees what another page, a program or a
click in itself has started, and one that opens in the middle of a training shows its whole curve and samples.

Coroutines wait here, no threads, but gradio's queue gives each a place: see ``PLACES``. Closing the page ends
its watch and followers and nothing else.
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

PLACES = 600
"""Listeners that may be under way together; an open page takes one, and one more for each running job."""
LOOK_SECONDS = 0.35
WATCH_SECONDS = 0.5
HEARTBEAT_SECONDS = 10.0
NO_JOB = "none"
Updates = dict[Block, Any]
Render = Callable[[JobView], Updates]


class Watch:
    """Made inside the Blocks, before the tabs; ``attach`` for each kind of job, ``begin`` at the end."""

    def __init__(self, blocks: gr.Blocks, jobs: Jobs, kinds: Sequence[str]) -> None:
        self.blocks = blocks
        self._jobs = jobs
        self._newest = {
            kind: gr.Textbox(visible="hidden", elem_id=f"newest-{kind.replace('_', '-')}") for kind in kinds
        }

    def attach(self, kind: str, render: Render, outputs: Sequence[Component]) -> None:
        """Follow every job of this kind."""

        async def look() -> AsyncIterator[Any]:
            async for updates in follow(self._jobs, kind, render):
                yield updates

        self._newest[kind].change(look, None, list(outputs), trigger_mode="multiple", **QUIET)

    def begin(self, line: Component, text: Callable[[], str]) -> None:
        """Watch from the moment a page opens; ``text`` gives what stands in ``line``."""

        async def look() -> AsyncIterator[Updates]:
            shown: dict[Block, str] = {}
            told = time.monotonic()
            while True:
                now: dict[Block, str] = {box: self._name(kind) for kind, box in self._newest.items()}
                now[line] = text()
                news = {box: value for box, value in now.items() if shown.get(box) != value}
                if news or time.monotonic() - told > HEARTBEAT_SECONDS:
                    yield dict(news or now)
                    shown, told = now, time.monotonic()
                await asyncio.sleep(WATCH_SECONDS)

        self.blocks.load(look, None, [line, *self._newest.values()], **QUIET)

    def _name(self, kind: str) -> str:
        job = self._jobs.latest(kind)
        return job.id if job else NO_JOB


async def follow(jobs: Jobs, kind: str, render: Render) -> AsyncIterator[Any]:
    """Yield ``render(view)`` whenever the newest job of this kind has news, until its end or a newer job.

    At the first look ``view.new`` is set and everything is drawn; later only what has news. A heartbeat lets
    gradio notice a page that is gone.
    """
    view, told = JobView(jobs.latest(kind)), time.monotonic()
    while jobs.latest(kind) is view.job:
        if view.catch_up():
            yield await asyncio.to_thread(render, view)
            told = time.monotonic()
        elif time.monotonic() - told > HEARTBEAT_SECONDS:
            yield gr.skip()
            told = time.monotonic()
        if view.job is None or view.ending is not None:
            return
        await asyncio.sleep(LOOK_SECONDS)
