"""Refused requests are answered later, the more of them one sender sends, so that rubbish can't take the processor.

Whoever is answered well is never held up, also beside a sender of rubbish at the same address.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamgui.ui.guard.blocks import SCOPE_KEY
from dreamgui.visitors import NOBODY

FREE_REFUSALS = 200
"""Refusals of a sender that are answered at once."""
FORGOTTEN_PER_SECOND = 5.0
"""Refusals that are forgotten again. So many a second a patient sender gets for good."""
SECONDS_EACH, LONGEST_SECONDS = 0.05, 5.0
"""Delay for each refusal that is too many, and the longest one."""
MOST_WAITING, MOST_WAITING_IN_ALL = 32, 256
"""Answers that wait, of a sender and of all. Those beyond are sent at once, and their connection is closed."""
SENDERS_KEPT = 1000
REFUSED_KEY = "dreamgui.refused"
"""Entry of a request's scope for a refusal that has a good status."""


class Refusals:
    """Count of each sender's refusals, by a bucket that leaks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[float, float]] = {}

    def delay(self, sender: str) -> float:
        """Count one more refusal, and return the seconds after which it is answered."""
        count = self._count(sender) + 1
        # Put at the end: the first one is the one that was refused longest ago.
        self._counts.pop(sender, None)
        self._counts[sender] = count, self._clock()
        if len(self._counts) > SENDERS_KEPT:
            del self._counts[next(iter(self._counts))]
        return min(LONGEST_SECONDS, SECONDS_EACH * max(0.0, count - FREE_REFUSALS))

    def _count(self, sender: str) -> float:
        count, then = self._counts.get(sender, (0.0, 0.0))
        return max(0.0, count - FORGOTTEN_PER_SECOND * (self._clock() - then))


class Tarpit:
    """Middleware, the outermost one, that holds refusals back."""

    def __init__(
        self,
        app: ASGIApp,
        refusals: Refusals | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._app = app
        self._refusals = refusals or Refusals()
        self._sleep = sleep
        self._waiting: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. Its answer waits if it is a refusal, or an error, and one too many."""
        answered = scope["type"] != "http"

        async def sent(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                if (message["status"] >= 400 or REFUSED_KEY in scope) and not await self._waits(scope):
                    MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, send if answered else sent)
        finally:
            # An error: whoever stands outside answers it with status 500.
            if not answered:
                await self._waits(scope)

    async def _waits(self, scope: Scope) -> bool:
        """Count a refusal and wait with it, or return False at once if too many wait already."""
        sender = sender_of(scope)
        seconds = self._refusals.delay(sender)
        if seconds and (
            self._waiting[sender] >= MOST_WAITING or self._waiting.total() >= MOST_WAITING_IN_ALL
        ):
            return False
        if seconds:
            self._waiting[sender] += 1
            try:
                await self._sleep(seconds)
            finally:
                self._waiting -= Counter([sender])
        return True


def sender_of(scope: Scope) -> str:
    """Return the visitor, as the guard has found it, else the address.

    A proxy's word for an address could be anybody's, so that all who come by a proxy without a cookie are one sender.
    """
    visitor = scope.get(SCOPE_KEY, NOBODY)
    if visitor != NOBODY:
        return visitor
    if "x-forwarded-for" in Headers(scope=scope):
        return "a proxy"
    return (scope.get("client") or ("nobody",))[0]


FIRST = Middleware(Tarpit)
