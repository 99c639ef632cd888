"""Requests that no listener can answer are refused before Gradio works on them.

Gradio 6.31 answers an unknown listener with a traceback and status 500, takes bodies of any size and nesting, and puts
a wrong number of values into its queue, to fail there with a traceback.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dreamgui.ui.guard.blocks import SCOPE_KEY
from dreamgui.ui.guard.bodies import LARGEST_BODY_BYTES, Replay, parsed, read_body
from dreamgui.ui.guard.table import API, Rule, rule_of

NO_LISTENER = "The page has no such listener. Load the page again."
_BY_NUMBER, _BY_NAME = ("/queue", "/run", "/api"), ("/call", "/call/v2")


class Asked:
    """Middleware that reads the bodies of the local page within limits. On a page for strangers the guard does that."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or SCOPE_KEY in scope or not _has_body(scope):
            return await self._app(scope, receive, send)
        body = await read_body(receive, LARGEST_BODY_BYTES)
        if body is None:
            return await refusal(413, "The request is too large or too slow.")(scope, receive, send)
        try:
            answer = unanswerable(scope, parsed(body))
        except ValueError:
            answer = refusal(
                400, "The request isn't valid JSON, or is nested too deeply. Load the page again."
            )
        await (answer(scope, receive, send) if answer else self._app(scope, Replay(body, receive), send))


def unanswerable(scope: Scope, sent: Any) -> Response | None:
    """Return the refusal of a request that no listener of the page can answer, or None for all others.

    Args:
        scope: a request by one of the routes of ``Rule.BODY``.
        sent: its body.
    """
    way, _, name = scope["path"].removeprefix(API).rstrip("/").rpartition("/")
    if way not in (*_BY_NUMBER, *_BY_NAME):
        return None
    if not isinstance(sent, dict):
        return refusal(400, "The request is no JSON object. Load the page again.")
    number = sent.get("fn_index") if way in _BY_NUMBER else None
    listener = _listener(scope["app"].get_blocks().fns, number, name)
    # One without a function runs in the browser alone.
    if listener is None or listener.fn is None:
        return refusal(404, NO_LISTENER)
    data, wanted = sent.get("data"), len(listener.inputs)
    if way in _BY_NUMBER and isinstance(data, list) and len(data) != wanted:
        return refusal(400, f"{len(data)} values were sent, and {wanted} are needed. Load the page again.")
    return None


def refusal(status: int, sentence: str) -> Response:
    """Return an answer as Gradio's own refusals are, so that its clients show the sentence."""
    return JSONResponse({"detail": f"Refused: {sentence}"}, status_code=status)


def _has_body(scope: Scope) -> bool:
    return scope["method"] == "POST" and rule_of("POST", scope["path"]) is Rule.BODY


def _listener(listeners: dict[int, Any], number: Any, name: str) -> Any:
    if number is not None:
        return listeners.get(number) if type(number) is int else None
    return next((each for each in listeners.values() if each.api_name == name), None)
