"""Logins of the page: a delay and a lock after failures."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException

FREE_FAILURES, MOST_FAILURES = 3, 10
"""Failures in a row without a delay, and those after which the login is locked."""
LONGEST_DELAY_SECONDS = 8.0
LOCKED_SECONDS = 300.0


class Logins:
    """Check of names and passwords, as gradio calls it.

    One attempt is answered after the other, so that many at once are no faster than one. Failures are counted for
    all names together, as a shared link hides who asks. Who is logged in already isn't affected by a lock.
    """

    def __init__(
        self,
        passwords: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._passwords = dict(passwords)
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._failures = 0
        self._locked_until = 0.0

    async def check(self, name: str, password: str) -> bool:
        """Return whether this is a login.

        Raises:
            HTTPException: 429 while logins are locked.
        """
        self._refuse_if_locked()
        async with self._turn:
            self._refuse_if_locked()
            if (over := self._failures - FREE_FAILURES) >= 0:
                await self._sleep(min(LONGEST_DELAY_SECONDS, 2.0**over))
            right = self._is_right(name, password)
            self._failures = 0 if right else self._failures + 1
            if self._failures >= MOST_FAILURES:
                self._failures, self._locked_until = FREE_FAILURES, self._clock() + LOCKED_SECONDS
        return right

    def _is_right(self, name: str, password: str) -> bool:
        known = self._passwords.get(name, "")
        same = hmac.compare_digest(known.encode("utf-8", "replace"), password.encode("utf-8", "replace"))
        return same and bool(known)

    def _refuse_if_locked(self) -> None:
        if self._clock() < self._locked_until:
            minutes = round(LOCKED_SECONDS / 60)
            raise HTTPException(429, f"Too many wrong logins. Try again in {minutes} minutes.")
