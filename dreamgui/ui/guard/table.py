"""Gradio's routes, each with its rule for strangers. A route that isn't here is refused."""

from __future__ import annotations

from enum import Enum, auto

from starlette.routing import compile_path


class Rule(Enum):
    """Conditions that a stranger's request must meet."""

    OPEN = auto()
    """Nothing: the same answer for everybody, after gradio's own check of the login."""
    PAGE = auto()
    """Nothing; a visitor without a login gets the cookie here."""
    BODY = auto()
    """A visitor; the session that the JSON body names becomes the visitor's own."""
    QUERY = auto()
    """A visitor; the session or upload that the query names becomes the visitor's own."""
    PATH = auto()
    """A visitor; the session at the path's end becomes the visitor's own."""
    EVENT = auto()
    """A visitor who knows the event's random id, which no session's name can stand for."""
    UPLOAD = auto()
    """A visitor, who owns what comes in."""
    FILE = auto()
    """The file's owner."""
    REFUSED = auto()
    """Nobody: the page doesn't use it."""


API = "/gradio_api"
READ, SEND = ("GET", "HEAD"), ("POST",)
_TABLE: tuple[tuple[tuple[str, ...], Rule, tuple[str, ...]], ...] = (
    (READ, Rule.PAGE, ("/",)),
    (READ, Rule.OPEN, ("/config", "/assets/{path:path}", "/static/{path:path}", "/svelte/{path:path}")),
    (READ, Rule.OPEN, ("/favicon.ico", "/robots.txt", "/theme.css", "/manifest.json", "/logout")),
    (READ, Rule.OPEN, ("/pwa_icon", "/pwa_icon/{size}", "/openapi.json")),
    (SEND, Rule.OPEN, ("/login",)),
    (READ, Rule.OPEN, tuple(API + path for path in ("/user", "/login_check", "/app_id", "/info"))),
    (READ, Rule.OPEN, tuple(API + path for path in ("/openapi.json", "/startup-events", "/theme.css"))),
    (READ, Rule.OPEN, (API + "/queue/status",)),
    (SEND, Rule.BODY, tuple(API + path for path in ("/queue/join", "/cancel", "/reset"))),
    (SEND, Rule.BODY, tuple(API + path for path in ("/run/{api_name}", "/api/{api_name}"))),
    (SEND, Rule.BODY, tuple(API + path for path in ("/call/{api_name}", "/call/v2/{api_name}"))),
    (READ, Rule.EVENT, (API + "/call/{api_name}/{event_id}", API + "/call/v2/{api_name}/{event_id}")),
    (READ, Rule.QUERY, (API + "/queue/data", API + "/upload_progress")),
    (READ, Rule.PATH, (API + "/heartbeat/{session_hash}",)),
    (SEND, Rule.UPLOAD, (API + "/upload",)),
    (READ, Rule.FILE, (API + "/file={path_or_url:path}",)),
    # The token of a login is in its cookie, which scripts can't read.
    (READ, Rule.REFUSED, (API + "/token", API + "/file/{path:path}", API + "/proxy={url_path:path}")),
    (READ, Rule.REFUSED, ("/monitoring", "/monitoring/summary", "/monitoring/{key}", API + "/deep_link")),
    (READ, Rule.REFUSED, tuple(API + path for path in ("/dev/reload", "/runs", "/vibe-code"))),
    (READ, Rule.REFUSED, (API + "/custom_component/{id}/{environment}/{type}/{file_name}",)),
    (SEND, Rule.REFUSED, tuple(API + path for path in ("/component_server", "/process_recording"))),
    (SEND, Rule.REFUSED, tuple(API + path for path in ("/vibe-edit", "/undo-vibe-edit", "/vibe-code"))),
    (SEND, Rule.REFUSED, (API + "/vibe-starter-queries", API + "/stream/{event_id}")),
    (SEND, Rule.REFUSED, (API + "/stream/{event_id}/close",)),
    (READ, Rule.REFUSED, (API + "/stream/{session_hash}/{run}/{component_id}/playlist.m3u8",)),
    (READ, Rule.REFUSED, (API + "/stream/{session_hash}/{run}/{component_id}/playlist-file",)),
    (READ, Rule.REFUSED, (API + "/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}",)),
)
RULES = {(method, path): rule for methods, rule, paths in _TABLE for path in paths for method in methods}
"""Rule by method and gradio's own template of the path, without a slash at its end."""
OAUTH_RULES = {
    (method, path): Rule.OPEN for path in ("/login/huggingface", "/login/callback") for method in READ
}
"""Rules of the routes that there are on a Space with OAuth only."""
_PATTERNS = [(method, compile_path(path)[0], rule) for (method, path), rule in (RULES | OAUTH_RULES).items()]


def rule_of(method: str, path: str) -> Rule:
    """Return the rule for a request, ``REFUSED`` unless a route is meant that is known."""
    plain = path.rstrip("/") or "/"
    found = [rule for each, pattern, rule in _PATTERNS if each == method and pattern.match(plain)]
    # "/{x}/call/v2" could be two routes at once: the strictest counts.
    return Rule.REFUSED if not found or Rule.REFUSED in found else found[0]
