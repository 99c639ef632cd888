"""Connections by which pages read their listeners' news: counted, and ended where nobody has asked for any."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dreamgui.ui.guard.table import API
from dreamgui.ui.guard.tarpit import REFUSED_KEY
from dreamgui.ui.parts.readers import READERS

_NO_SESSION = {
    "msg": "unexpected_error",
    "message": "404: Not Found",
    "success": False,
    "session_not_found": True,
}
"""Message of Gradio 6.31, which writes a traceback besides."""


class Reading:
    """Middleware that notes each session whose news are being read. It stands behind the guard that names sessions."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless its session is made up, or gone."""
        if scope["type"] != "http" or scope["path"] != f"{API}/queue/data":
            return await self._app(scope, receive, send)
        session = Request(scope).query_params.get("session_hash", "")
        if session not in scope["app"].get_blocks()._queue.pending_messages_per_session:
            scope[REFUSED_KEY] = True
            answer = Response(f"data: {json.dumps(_NO_SESSION)}\n\n", media_type="text/event-stream")
            return await answer(scope, receive, send)
        with READERS.reading(session):
            await self._app(scope, receive, send)
