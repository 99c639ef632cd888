"""Uploads on their way in: no more than was announced, nothing left of a broken one, no metadata in photographs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from contextlib import contextmanager, suppress
from email.message import Message as Headed
from pathlib import Path

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamgui.data.photos.bare_zip import strip_upload
from dreamgui.ui.guard.bodies import PATIENCE_SECONDS
from dreamgui.ui.guard.uploading import disk_bytes
from dreamgui.ui.parts.uploads import FILES


class Incoming:
    """A ``receive`` that ends an upload whose sender goes, is silent for too long, or sends more than it may.

    Gradio keeps the files of an upload that breaks off. It deletes those of one whose form is malformed, so a part
    without a name is put at the end.
    """

    def __init__(self, scope: Scope, receive: Receive, most_bytes: int, seconds: float) -> None:
        headed = Headed()
        headed["content-type"] = Request(scope).headers.get("content-type", "")
        self._boundary = (headed.get_boundary() or "").encode("latin-1", "replace")
        self._receive = receive
        self._left = most_bytes
        self._seconds = seconds
        self._open = True

    async def __call__(self) -> Message:
        """Return the next message."""
        if not self._open:
            return {"type": "http.disconnect"}
        try:
            message = await asyncio.wait_for(self._receive(), self._seconds)
        except TimeoutError:
            return self._broken()
        self._left -= len(message.get("body", b""))
        if message["type"] != "http.request" or self._left < 0:
            return self._broken()
        self._open = message.get("more_body", False)
        return message

    def _broken(self) -> Message:
        self._open = False
        # The first one ends a header that is being read, the second one stands among data.
        return {
            "type": "http.request",
            "body": (b"\r\n--" + self._boundary + b"\r\n\r\n") * 2,
            "more_body": False,
        }


class Held:
    """A ``send`` that keeps an answer until it is let go."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        """Keep a message."""
        self._messages.append(message)

    def paths(self) -> list[str]:
        """Return the paths of the files that a good answer names."""
        if not self._messages or self._messages[0].get("status") != 200:
            return []
        return json.loads(b"".join(message.get("body", b"") for message in self._messages[1:]))

    async def let_go(self) -> None:
        """Send all that was kept."""
        for message in self._messages:
            await self._send(message)


async def take_upload(
    app: ASGIApp, visitor: str, size_bytes: int | None, scope: Scope, receive: Receive, send: Send
) -> None:
    """Pass an upload on. Its files are the visitor's before the visitor hears of them, without metadata by then.

    Args:
        size_bytes: its announced size; None for one that doesn't say, which may have as much as the disk has free.
    """
    held = Held(send)
    most_bytes = disk_bytes() if size_bytes is None else size_bytes
    with FILES.coming(visitor, size_bytes or 0):
        await app(scope, Incoming(scope, receive, most_bytes, PATIENCE_SECONDS), held)
        paths = held.paths()
        with _nobodys(paths) as bare:
            for path in paths:
                await asyncio.to_thread(strip_upload, Path(path))
                bare.append(path)
        FILES.grant_uploads(visitor, paths)
    await held.let_go()


@contextmanager
def _nobodys(paths: list[str]) -> Generator[list[str], None, None]:
    """Delete files unless all of them are in the list at the block's end, however it ends."""
    done: list[str] = []
    try:
        yield done
    finally:
        for path in paths if done != paths else ():
            with suppress(OSError):
                Path(path).unlink()
