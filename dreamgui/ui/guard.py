"""Two checks before gradio sees a request, for a server that only this machine's user should reach.

A web page that the user visits could otherwise post to ``localhost`` (Origin), or reach it under a name of
its own that resolves to 127.0.0.1 (Host, "DNS rebinding").
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
HARMLESS = ("GET", "HEAD", "OPTIONS")


class OwnPagesOnly:
    """Refuses with 403 what a page of another origin sends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] == "http" and _is_foreign(Request(scope)):
            answer = PlainTextResponse("Refused: this came from another web page.", status_code=403)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_foreign(request: Request) -> bool:
    origin = request.headers.get("origin")
    if request.method in HARMLESS or origin is None:
        return False
    return urlsplit(origin).netloc != request.headers.get("host")


def middleware() -> list[Middleware]:
    """Both checks; a forged Host is answered with 400."""
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL_HOSTS), www_redirect=False)
    return [hosts, Middleware(OwnPagesOnly)]
