"""Watch of a page over the jobs.

Each open page has one watch. It updates the line in the head, and a hidden text for each kind of job with the
newest job's name. At a change of such a text, also right after the page has opened, a follower renders that job
until its end. So a page shows jobs that another page, a program or itself has started. A page that opens in the
middle of a training shows the whole curve and all samples.

Coroutines wait here, no threads; gradio's queue gives each a place (``PLACES``). Closing the page ends its watch and
followers and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from dreamgui.jobs.queue import Jobs
from dreamgui.services import Services
from dreamgui.ui.parts.readers import READERS
from dreamgui.ui.parts.session import QUIET, as_ui_error
from dreamgui.ui.parts.stream import JobView
from dreamgui.visitors import current

PLACES = 600
"""Largest number of concurrent listeners; an open page takes one, and one more for each running job."""
LOOK_SECONDS = 0.35
WATCH_SECONDS = 0.5
"""Times between two looks, of a few pages; many look less often."""
HEARTBEAT_SECONDS = 10.0
UNREAD_SECONDS = 20.0
"""Time after which a listener ends that nobody reads: a made-up session, or a page that is gone."""
NO_JOB = "none"
Updates = dict[Block, Any]
Render = Callable[[JobView], Updates]


class Watch:
    """Watch of a page. Made inside the Blocks, before the tabs. ``attach`` for each kind of job, ``begin`` at the end."""

    def __init__(self, blocks: gr.Blocks, services: Services, kinds: Sequence[str]) -> None:
        self.blocks = blocks
        self._services = services
        self._newest = {
            kind: gr.Textbox(visible="hidden", elem_id=f"newest-{kind.replace('_', '-')}") for kind in kinds
        }

    def attach(self, kind: str, render: Render, outputs: Sequence[Component]) -> None:
        """Follow every job of this kind."""

        async def look(request: gr.Request) -> AsyncIterator[Any]:
            with _place():
                async for updates in follow(self._services.jobs, kind, render, _reader(request)):
                    yield updates

        self._newest[kind].change(look, None, list(outputs), trigger_mode="multiple", **QUIET)

    def begin(self, lines: Mapping[Component, Callable[[], Any]]) -> None:
        """Watch from the moment a page opens. Each line's value is asked for again and again."""

        async def look(request: gr.Request) -> AsyncIterator[Updates]:
            with _place():
                async for news in self._news(lines, _reader(request)):
                    yield news

        self.blocks.load(look, None, [*lines, *self._newest.values()], **QUIET)

    async def _news(
        self, lines: Mapping[Component, Callable[[], Any]], is_read: Callable[[], bool]
    ) -> AsyncIterator[Updates]:
        shown: dict[Block, Any] = {}
        sent = time.monotonic()
        while is_read():
            now: dict[Block, Any] = {box: self._name(kind) for kind, box in self._newest.items()}
            now |= {line: text() for line, text in lines.items()}
            news = {box: value for box, value in now.items() if shown.get(box) != value}
            if news or time.monotonic() - sent > HEARTBEAT_SECONDS:
                yield dict(news or now)
                shown, sent = now, time.monotonic()
            await asyncio.sleep(READERS.pause(WATCH_SECONDS))

    def _name(self, kind: str) -> str:
        job = self._services.jobs.current(kind)
        return job.id if job else NO_JOB


@contextmanager
def _place() -> Generator[None, None, None]:
    """Take a listener's place. The page is told where there is none."""
    places = ExitStack()
    as_ui_error(lambda: places.enter_context(READERS.place(current())))
    with places:
        yield


def _reader(request: gr.Request) -> Callable[[], bool]:
    """Return a question whether somebody still reads this request's session, or may be about to."""
    asked: list[float] = [time.monotonic()]

    def is_read() -> bool:
        if READERS.is_read(request.session_hash):
            asked[0] = time.monotonic()
        return time.monotonic() - asked[0] < UNREAD_SECONDS

    return is_read


async def follow(
    jobs: Jobs, kind: str, render: Render, is_read: Callable[[], bool] = lambda: True
) -> AsyncIterator[Any]:
    """Yield ``render(view)`` at news of the newest job of this kind, until its end or a newer job.

    At the first look ``view.new`` is set and everything is rendered; later only the news. By a heartbeat gradio
    notices a closed page; where nobody ``is_read``, it ends by itself.
    """
    view, sent = JobView(jobs.current(kind)), time.monotonic()
    while jobs.current(kind) is view.job and is_read():
        if view.catch_up():
            yield await asyncio.to_thread(render, view)
            sent = time.monotonic()
        elif time.monotonic() - sent > HEARTBEAT_SECONDS:
            yield gr.skip()
            sent = time.monotonic()
        if view.job is None or view.ending is not None:
            return
        await asyncio.sleep(READERS.pause(LOOK_SECONDS))
