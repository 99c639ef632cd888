"""The guard of a page for strangers: finds the visitor of each request, and keeps visitors apart.

Gradio keeps sessions by a name that the browser chooses, and serves each file of its cache to whoever knows the path.
Here the session's name gets the visitor's name before it, so that another's can't be meant, and a file is served to
its owner only. Routes are those of ``table.py``.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamgui.ui.guard.asked import unanswerable
from dreamgui.ui.guard.blocks import SCOPE_KEY
from dreamgui.ui.guard.bodies import LARGEST_BODY_BYTES, LARGEST_LOGIN_BYTES, Replay, parsed, read_body
from dreamgui.ui.guard.connections import MOST_OF_A_CLIENT
from dreamgui.ui.guard.incoming import take_upload
from dreamgui.ui.guard.table import Rule, rule_of
from dreamgui.ui.guard.uploading import Refusal
from dreamgui.ui.parts.uploads import FILES
from dreamgui.visitors import NOBODY, OWNER, Cookies, of_login, of_oauth

COOKIE = "dreamgui-visitor"
COOKIE_SECONDS = 180 * 24 * 3600
_SESSION = re.compile(r"[\w-]{1,64}")
_EVENT = re.compile(r"[0-9a-f]{32}")
_REFUSED = PlainTextResponse("Refused: page not found.", status_code=404)
_NOBODY = PlainTextResponse("Refused: no session. Load the page first, or log in.", status_code=401)
_NO_SESSION = PlainTextResponse("Refused: invalid session. Reload the page.", status_code=400)
_TOO_MANY = PlainTextResponse("Refused: too many requests at once. Wait for their answers.", status_code=429)
_TOO_LARGE = PlainTextResponse("Refused: the request is too large or too slow.", status_code=413)


@dataclass(frozen=True)
class Terms:
    """Terms on which visitors are told from each other.

    Attributes:
        cookies: makes and checks the cookies of visitors without a login.
        owner: login of the one who works in the workspace itself; "" for none.
        framed: another site shows the page in a frame, as Spaces do; the cookie must come through that.
        oauth: the session that gradio signs for a Space says who has signed in with Hugging Face.
        refuse_upload: gives the reason why a visitor may not upload so many bytes.
    """

    cookies: Cookies
    owner: str = ""
    framed: bool = False
    oauth: bool = False
    refuse_upload: Refusal = field(default=lambda _visitor, _size: "")


class Visits:
    """Middleware that finds the visitor, and refuses what isn't the visitor's."""

    def __init__(self, app: ASGIApp, terms: Terms) -> None:
        self._app = app
        self._terms = terms
        self._asking: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as its visitor's, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        visitor = self._visitor(Request(scope))
        scope[SCOPE_KEY] = visitor
        if visitor not in (NOBODY, OWNER) and self._asking[visitor] >= MOST_OF_A_CLIENT:
            await _TOO_MANY(scope, receive, send)
            return
        self._asking[visitor] += 1
        try:
            await self._answer(visitor, scope, receive, send)
        finally:
            self._asking -= Counter([visitor])

    async def _answer(self, visitor: str, scope: Scope, receive: Receive, send: Send) -> None:
        rule = rule_of(scope["method"], scope["path"])
        if answer := _refusal(rule, visitor, scope):
            await answer(scope, receive, send)
        elif rule is Rule.BODY:
            await self._with_body(visitor, scope, receive, send)
        elif rule is Rule.UPLOAD:
            _in_query(visitor, scope)
            size_bytes = _length(scope)
            if reason := self._terms.refuse_upload(visitor, size_bytes):
                await JSONResponse({"detail": reason}, status_code=413)(scope, receive, send)
            else:
                await take_upload(self._app, visitor, size_bytes, scope, receive, send)
        elif rule is Rule.OPEN and scope["method"] == "POST":
            # Starlette would keep files of any size in a form of anybody's.
            body = await read_body(receive, LARGEST_LOGIN_BYTES)
            await (_TOO_LARGE if body is None else self._app)(scope, Replay(body or b"", receive), send)
        elif rule is Rule.PAGE and visitor == NOBODY and _login_of(Request(scope)) is None:
            await self._app(scope, receive, self._with_cookie(send))
        else:
            await self._app(scope, receive, send)

    def _visitor(self, request: Request) -> str:
        login = _login_of(request)
        if self._terms.oauth and (subject := _subject(request)):
            return of_oauth(subject)
        if login is None:
            return self._terms.cookies.visitor(request.cookies.get(COOKIE, ""))
        if login and login == self._terms.owner:
            return OWNER
        return of_login(login) if login else NOBODY

    async def _with_body(self, visitor: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request whose body names a session, with the visitor's own in its place."""
        body = await read_body(receive, LARGEST_BODY_BYTES)
        if body is None:
            await _TOO_LARGE(scope, receive, send)
            return
        try:
            sent = parsed(body)
            if (session := sent.get("session_hash")) is not None:
                sent["session_hash"] = _own(visitor, session)
        except (ValueError, AttributeError, TypeError):
            await _NO_SESSION(scope, receive, send)
            return
        if answer := unanswerable(scope, sent):
            await answer(scope, receive, send)
            return
        data = json.dumps(sent).encode()
        MutableHeaders(scope=scope)["content-length"] = str(len(data))
        await self._app(scope, Replay(data, receive), send)

    def _with_cookie(self, send: Send) -> Send:
        """Return a ``send`` that adds a new visitor's cookie to the answer."""
        answer = Response()
        answer.set_cookie(
            COOKIE,
            self._terms.cookies.issue(),
            max_age=COOKIE_SECONDS,
            httponly=True,
            secure=self._terms.framed,
            samesite="none" if self._terms.framed else "lax",
        )
        cookie = answer.headers["set-cookie"] + ("; Partitioned" if self._terms.framed else "")

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        return sent


def visits(terms: Terms) -> Middleware:
    """Return the guard as a middleware, the last one, so that its answers get the others' headers."""
    return Middleware(Visits, terms=terms)


def _login_of(request: Request) -> str | None:
    """Return the name that logged in, "" for nobody yet, or None where the page asks for no login."""
    app = request.app
    if app.auth is None:
        return None
    cookies = (request.cookies.get(f"access-token{kind}-{app.cookie_id}") for kind in ("", "-unsecure"))
    return next((app.tokens[cookie] for cookie in cookies if cookie in app.tokens), "")


def _subject(request: Request) -> str:
    """Return the number of the Hugging Face account that has signed in, or "" for nobody, or for longer ago than it holds."""
    told = request.scope.get("session", {}).get("oauth_info")
    if not isinstance(told, dict) or not isinstance(told.get("expires_at"), int | float):
        return ""
    subject = told.get("userinfo", {}).get("sub", "")
    return str(subject) if told["expires_at"] > time.time() else ""


def _refusal(rule: Rule, visitor: str, scope: Scope) -> Response | None:
    """Return the answer to a request that isn't passed on. The visitor's session takes the place of the named one."""
    if rule is Rule.REFUSED:
        return _REFUSED
    if rule in (Rule.OPEN, Rule.PAGE):
        return None
    if visitor == NOBODY:
        return _NOBODY
    if rule is Rule.FILE and not FILES.holds(visitor, scope["path"].partition("file=")[2]):
        return _REFUSED
    if rule is Rule.EVENT and not _EVENT.fullmatch(scope["path"].rstrip("/").rpartition("/")[2]):
        return _REFUSED
    if rule in (Rule.QUERY, Rule.PATH):
        return (_in_query if rule is Rule.QUERY else _in_path)(visitor, scope)
    return None


def _length(scope: Scope) -> int | None:
    """Return the bytes that a request says it has. The server reads no more of it."""
    text = Request(scope).headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _own(visitor: str, session: Any) -> str:
    """Return a session's name as this visitor's.

    Raises:
        ValueError: it is no name of a session.
    """
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise ValueError("no session")
    return f"{visitor}:{session}"


def _in_query(visitor: str, scope: Scope) -> Response | None:
    given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    named = ("session_hash", "upload_id")
    try:
        changed = [(name, _own(visitor, value) if name in named else value) for name, value in given]
    except ValueError:
        return _NO_SESSION
    scope["query_string"] = urlencode(changed).encode("latin-1")
    return None


def _in_path(visitor: str, scope: Scope) -> Response | None:
    before, _, session = scope["path"].rstrip("/").rpartition("/")
    try:
        scope["path"] = f"{before}/{_own(visitor, session)}"
    except ValueError:
        return _NO_SESSION
    scope["raw_path"] = scope["path"].encode()
    return None
