"""Count of the connections by which pages read their listeners' news."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from dreamgui.ui.guard.table import API
from dreamgui.ui.parts.readers import READERS


class Reading:
    """Middleware that notes each session whose news are being read. It stands behind the guard that names sessions."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and scope["path"] == f"{API}/queue/data":
            with READERS.reading(Request(scope).query_params.get("session_hash", "")):
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)
