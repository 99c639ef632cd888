"""Bodies of requests, read within limits of size, time and nesting."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive

LARGEST_BODY_BYTES, LARGEST_LOGIN_BYTES = 4_000_000, 64_000
MOST_PARTS = 50_000
"""Lists and objects of a body; five million of them, which 16 MB hold, kept the server busy for 9 s."""
PATIENCE_SECONDS = 60.0
"""Longest time in which nothing of a body arrives; a whole body of JSON has as long."""


async def read_body(receive: Receive, most_bytes: int, seconds: float = PATIENCE_SECONDS) -> bytes | None:
    """Return a request's whole body, or None if it is too large or too slow, or its sender is gone."""
    try:
        return await asyncio.wait_for(_read(receive, most_bytes), seconds)
    except TimeoutError:
        return None


async def _read(receive: Receive, most_bytes: int) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > most_bytes:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def parsed(body: bytes) -> Any:
    """Return a body's JSON.

    Raises:
        ValueError: it is no JSON, is nested too deep, or has too many parts.
    """
    if body.count(b"[") + body.count(b"{") > MOST_PARTS:
        raise ValueError("too many parts")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


class Replay:
    """A ``receive`` that gives one body, then what the sender does."""

    def __init__(self, data: bytes, receive: Receive) -> None:
        self._data: bytes | None = data
        self._receive = receive

    async def __call__(self) -> Message:
        """Return the next message."""
        if self._data is None:
            return await self._receive()
        data, self._data = self._data, None
        return {"type": "http.request", "body": data, "more_body": False}
