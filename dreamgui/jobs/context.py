"""A recipe in the context of the request that asked for it, though a worker runs it later."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextvars import Context
from typing import Any

from dreamgui.config import JobConfig
from dreamgui.errors import StopRequested
from dreamgui.events import Event


def in_context(
    recipe: Callable[[JobConfig], Iterator[Event]], context: Context
) -> Callable[[JobConfig], Iterator[Event]]:
    """Return the recipe with each of its steps run in ``context``. StopRequested is passed on to it."""

    def run(config: JobConfig) -> Generator[Event, None, None]:
        stream: Any = context.run(recipe, config)
        stop: StopRequested | None = None
        while True:
            try:
                event: Event = context.run(stream.throw, stop) if stop else context.run(stream.__next__)
            except StopIteration:
                return
            stop = None
            try:
                yield event
            except StopRequested as request:
                stop = request

    return run
