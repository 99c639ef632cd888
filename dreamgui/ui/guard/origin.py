"""Checks of Host and Origin before gradio sees a request, and headers that other pages can't get around.

A web page that a user visits could otherwise post to this server with the user's cookie (Origin), reach it under a
name of its own that resolves here (Host, "DNS rebinding"), or show it in a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
ANY_HOST = "*"
HARMLESS = ("GET", "HEAD", "OPTIONS")
FOREIGN_SITES = ("cross-site", "same-site")
HUGGING_FACE = ("https://huggingface.co", "https://*.hf.space")
"""Who shows a Space in a frame."""


class KnownHosts:
    """Refuse requests for another name than this server's with status 400."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = LOCAL_HOSTS) -> None:
        self._app = app
        self._hosts = frozenset(host.casefold() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] == "http" and not self._is_known(Request(scope).headers.get("host", "")):
            await PlainTextResponse("Refused: unknown host.", status_code=400)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_known(self, host: str) -> bool:
        if ANY_HOST in self._hosts:
            return True
        try:
            return (urlsplit(f"//{host}").hostname or "") in self._hosts
        except ValueError:
            return False


class OwnPagesOnly:
    """Refuse requests of pages of another origin with status 403.

    Args:
        behind_proxy: the proxy before this server sets X-Forwarded-Host; without one, anybody could.
        known_names: returns further names of this server, such as a shared link's.
    """

    def __init__(
        self, app: ASGIApp, behind_proxy: bool = False, known_names: Callable[[], Iterable[str]] = tuple
    ) -> None:
        self._app = app
        self._behind_proxy = behind_proxy
        self._known_names = known_names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] == "http" and self._is_foreign(Request(scope)):
            answer = PlainTextResponse("Refused: this came from another web page.", status_code=403)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_foreign(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        if origin is not None:
            return urlsplit(origin).netloc not in self._names(request)
        # Browsers send no Origin with a script or picture that another page loads from here; they send this.
        foreign = request.headers.get("sec-fetch-site") in FOREIGN_SITES
        navigates = request.method in HARMLESS and request.headers.get("sec-fetch-mode") == "navigate"
        return foreign and not navigates

    def _names(self, request: Request) -> set[str]:
        """Return the names under which this server is reached by this request."""
        names = {request.headers.get("host", ""), *self._known_names()}
        if self._behind_proxy and (forwarded := request.headers.get("x-forwarded-host")):
            names.add(forwarded.rpartition(",")[2].strip())
        return names - {""}


class Headers:
    """Add headers to each answer: who may show the page in a frame, and that content types aren't guessed.

    Scripts may come from here only, inline ones among them, as gradio's page is made of those.
    """

    def __init__(self, app: ASGIApp, framed_by: Sequence[str] = ()) -> None:
        self._app = app
        self._framed_by = " ".join(["'self'", *framed_by])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. Its answer gets the headers."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = self._policy()
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
                if self._framed_by == "'self'":
                    headers["x-frame-options"] = "SAMEORIGIN"
            await send(message)

        await self._app(scope, receive, sent)

    def _policy(self) -> str:
        parts = (
            "default-src 'self' data: blob:",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
            "style-src 'self' 'unsafe-inline'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            f"frame-ancestors {self._framed_by}",
        )
        return "; ".join(parts)


def middleware(
    hosts: Sequence[str] = LOCAL_HOSTS,
    behind_proxy: bool = False,
    framed_by: Sequence[str] = (),
    known_names: Callable[[], Iterable[str]] = tuple,
) -> list[Middleware]:
    """Return the checks, the first one outermost. A forged Host is answered with status 400.

    Args:
        hosts: names by which the server is reached; :data:`ANY_HOST` where they aren't known before.
        behind_proxy: a proxy that is configured sets X-Forwarded-Host.
        framed_by: other sites that may show the page in a frame.
        known_names: returns further names of this server, such as a shared link's.
    """
    return [
        Middleware(Headers, framed_by=framed_by),
        Middleware(KnownHosts, hosts=hosts),
        Middleware(OwnPagesOnly, behind_proxy=behind_proxy, known_names=known_names),
    ]
