"""Pages that read, and the listeners that go on for them: how many there may be, and when one is ended.

A session's name is chosen by the browser. A made-up one has nobody who reads, so its listeners end.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from dreamgui.errors import BadInput
from dreamgui.visitors import NOBODY

MOST_IN_ALL = 500
MOST_OF_A_VISITOR = 60
"""Listeners that go on; an open page has one, and one more for each running job."""
SECONDS_A_LISTENER = 0.04
"""All listeners together look for news 25 times a second at most. What they take, a training on the same processor lacks."""


class Readers:
    """Count of open connections by session, and of going listeners by visitor."""

    def __init__(self, in_all: int = MOST_IN_ALL, of_a_visitor: int = MOST_OF_A_VISITOR) -> None:
        self._in_all = in_all
        self._of_a_visitor = of_a_visitor
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self._going: Counter[str] = Counter()
        self._guarded = False

    @contextmanager
    def reading(self, session: str) -> Generator[None, None, None]:
        """Count a connection of this session for the time of the block."""
        with self._lock:
            self._guarded = True
            self._open[session] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= Counter([session])

    def is_read(self, session: str | None) -> bool:
        """Return whether somebody reads this session. That is always true in a server that doesn't count connections."""
        return not self._guarded or (session or "") in self._open

    def pause(self, least_seconds: float) -> float:
        """Return how long a listener waits before it looks again: longer, the more of them there are."""
        return max(least_seconds, SECONDS_A_LISTENER * self._going.total())

    @contextmanager
    def place(self, visitor: str) -> Generator[None, None, None]:
        """Take a place for a listener for the time of the block.

        Raises:
            BadInput: this visitor, or all together, have as many as they may have.
        """
        with self._lock:
            mine = self._going[visitor] if visitor != NOBODY else 0
            if mine >= self._of_a_visitor or self._going.total() >= self._in_all:
                raise BadInput("Too many pages are open.", "Close some of them, then reload this one.")
            self._going[visitor] += 1
        try:
            yield
        finally:
            with self._lock:
                self._going -= Counter([visitor])


READERS = Readers()
"""The readers of this process's page."""
