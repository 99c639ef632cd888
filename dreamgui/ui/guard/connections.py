"""Limits of open connections, which neither Gradio nor uvicorn has.

uvicorn's own ``limit_concurrency`` answers everybody with 503 while as many connections are open, also if nothing was ever
sent by them, and nothing ends a request of which the rest never comes. Here the connection that has been silent longest
makes room for a new one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from dreamgui.ui.guard.bodies import PATIENCE_SECONDS

MOST_OPEN, MOST_OF_A_CLIENT = 600, 100
"""Open connections in all, and of one address where addresses tell clients apart. A browser has six at most."""
HEAD_SECONDS = 20.0
"""Seconds in which a connection that is open must bring a request, to its last header."""


class Connections:
    """The open connections of a server.

    Args:
        in_all: the most there may be.
        of_a_client: the most of one address.

    Attributes:
        most: the most that have been open at once.
    """

    def __init__(self, in_all: int = MOST_OPEN, of_a_client: int = MOST_OPEN) -> None:
        self._in_all = in_all
        self._of_a_client = of_a_client
        self._open: dict[Any, str] = {}
        self.most = 0

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, one: Any, client: str) -> bool:
        """Return whether a new connection may stay. One that keeps the server waiting may have to go for it."""
        same = [each for each, whose in self._open.items() if whose == client]
        full = same if len(same) >= self._of_a_client else self._open if len(self) >= self._in_all else None
        if full is not None:
            waiting = [each for each in full if each.is_awaited()]
            if not waiting:
                return False
            min(waiting, key=lambda each: each.heard).end()
        self._open[one] = client
        self.most = max(self.most, len(self))
        return True

    def leave(self, one: Any) -> None:
        """Forget a connection."""
        self._open.pop(one, None)


def limit(server: Any, of_a_client: int = MOST_OPEN, seconds: float = HEAD_SECONDS) -> Connections:
    """Limit the connections of a running server of uvicorn from now on, and return them.

    Args:
        server: a ``uvicorn.Server``, such as ``Blocks.server`` after ``launch``.
        of_a_client: the most of one address; all come from one where a proxy stands before the server.
        seconds: time in which a connection must bring a request.
    """
    connections = Connections(most_open(), of_a_client)
    bases = Limited, server.config.http_protocol_class
    limits = {"places": connections, "seconds": seconds}
    server.config.http_protocol_class = type("LimitedConnection", bases, limits)
    # The page has no websockets, whose connections would leave this count.
    server.config.ws_protocol_class = None
    return connections


def most_open() -> int:
    """Return the most connections in all: half of the files that this process may have open, if those are few."""
    with suppress(ImportError):
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            return min(MOST_OPEN, files // 2)
    return MOST_OPEN


class Limited(asyncio.Protocol):
    """Connection of uvicorn with limits, of its own class and the one of uvicorn that is in use."""

    places: Connections
    seconds: float
    heard = 0.0
    """The loop's time at which something came last."""
    transport: Any
    cycle: Any = None
    flow: Any
    loop: asyncio.AbstractEventLoop
    _seen: Any = None
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin, if there is room."""
        address = (transport.get_extra_info("peername") or ("",))[0]
        self.heard = self.loop.time()
        if not self.places.admit(self, address):
            transport.abort()
            return
        super().connection_made(transport)
        self._look = self.loop.call_later(self.seconds, self._looked)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self.places.leave(self)
        if self._look:
            self._look.cancel()
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass data on, unless there was no room."""
        self.heard = self.loop.time()
        if self._look:
            super().data_received(data)

    def is_awaited(self) -> bool:
        """Return whether the server waits for a request, or for the rest of one."""
        return self._is_idle() or (self.cycle.more_body and not self.flow.read_paused)

    def end(self) -> None:
        """End the connection at once."""
        self.places.leave(self)
        self.transport.abort()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _looked(self) -> None:
        # The same answered request as at the last look: none has come since.
        idle = self._is_idle() and self.cycle is self._seen
        if idle or (self.is_awaited() and self.loop.time() - self.heard > PATIENCE_SECONDS):
            return self.end()
        self._seen = self.cycle
        self._look = self.loop.call_later(self.seconds, self._looked)
