"""The page as it is sent: made once for each address, compressed, and with a head that is seen before any script has run.

Gradio makes the page anew for each visit, 1.6 MB of settings of its components, and sends it as it is. That took 0.3 s
of a processor here, and seconds of a shared link. What it makes depends on the address and the user's login alone, so
without logins it is kept. The settings are text that is read as JSON, which is faster than as a script.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import partial
from html import escape

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ADDRESSES = 8
"""Pages that are kept. Some addresses are a stranger's choice, so that the oldest ones must go."""
_SETTINGS = re.compile(rb"<script>window\.(gradio_config|gradio_api_info) = (\{.*?\});</script>", re.DOTALL)
_READ = (
    rb'<script type="application/json" id="\1">\2</script>'
    rb'<script>window.\1 = JSON.parse(document.getElementById("\1").textContent);</script>'
)
_LOGIN = b'"auth_required":true'
_BODY = re.compile(rb"<body[^>]*>")
# It stands where the page's own head will stand, whose colours it has, until that is there; half a minute at most.
_HEAD = """<style>
#dg-first { position: absolute; inset: 0 0 auto; padding: 14px 24px; pointer-events: none; animation: dg-first 0s 30s forwards; }
#dg-first div { max-width: 1272px; margin: 0 auto; font: 650 22px/1.3 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
#dg-first p { margin: 2px 0 0; font-size: 15px; font-weight: 400; opacity: .75; }
@media (max-width: 640px) { #dg-first { padding: 10px 12px; } }
@keyframes dg-first { to { visibility: hidden; } }
body:has(#title, gradio-app form, gradio-app .error) #dg-first { display: none; }
</style><div id="dg-first" role="status"><div>%s<p>Opening ...</p></div></div>"""


def with_first_head(page: bytes, title: str) -> bytes:
    """Return the page with its settings as JSON and a head before its scripts. A login page stays as it is."""
    if _LOGIN in page:
        return page
    head = (_HEAD % escape(title)).encode()
    return _BODY.sub(lambda found: found[0] + head, _SETTINGS.sub(_READ, page), count=1)


class SentPage:
    """Middleware that keeps and compresses the page. All else passes as it is.

    Whether the page is there (HEAD) is told without making it. Gradio asks that as it starts, and gives up after 3 s.

    Args:
        title: text of the head that comes first.
    """

    def __init__(self, app: ASGIApp, title: str) -> None:
        self._app = app
        self._compressing = GZipMiddleware(partial(_rewritten, app, title), compresslevel=5)
        self._pages: OrderedDict[tuple[object, ...], list[Message]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the page, or pass the request on."""
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) not in ("", "/"):
            return await self._app(scope, receive, send)
        if scope["method"] != "HEAD":
            return await _send_all(await self._page(scope, receive), send)
        await Response(media_type="text/html")(scope, receive, send)
        # So Gradio asks as it starts: the first visitor finds the page made.
        await self._page({**scope, "method": "GET"}, receive)

    async def _page(self, scope: Scope, receive: Receive) -> list[Message]:
        """Return the page of a request, which is made where it isn't kept."""
        address = _address(scope)
        if address in self._pages:
            self._pages.move_to_end(address)
            return self._pages[address]
        made: list[Message] = []

        async def take(message: Message) -> None:
            made.append(message)

        await self._compressing(scope, receive, take)
        if _may_be_kept(scope, made):
            self._pages[address] = made
            while len(self._pages) > ADDRESSES:
                self._pages.popitem(last=False)
        return made


async def _send_all(messages: list[Message], send: Send) -> None:
    for message in messages:
        # Whoever stands before may add headers to it.
        await send({**message, **({"headers": list(message["headers"])} if "headers" in message else {})})


async def _rewritten(app: ASGIApp, title: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Send what the app sends in one piece, with the first head where it is a page."""
    start: Message = {}
    body = b""

    async def take(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            headers = MutableHeaders(raw=start["headers"])
            if headers.get("content-type", "").startswith("text/html"):
                body = with_first_head(body, title)
                headers["content-length"] = str(len(body))
            await send(start)
            await send({"type": "http.response.body", "body": body})

    await app(scope, receive, take)


def _address(scope: Scope) -> tuple[object, ...]:
    """Return what the page depends on: where its visitor finds it, what the address asks for, and what is read."""
    headers = Headers(scope=scope)
    told = tuple((name, value) for name, value in headers.items() if name == "host" or name.startswith("x-"))
    reads = "gzip" in headers.get("accept-encoding", "")
    return scope["scheme"], scope.get("root_path", ""), scope["query_string"], told, reads


def _may_be_kept(scope: Scope, made: list[Message]) -> bool:
    """Return whether all visitors get this answer: a page, of an app without logins, that sets no cookie."""
    app = scope.get("app")
    logins = getattr(app, "auth", None) is not None or getattr(app, "auth_dependency", None) is not None
    return not logins and made[0]["status"] == 200 and "set-cookie" not in Headers(raw=made[0]["headers"])
