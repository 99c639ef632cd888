"""The page's scripts arrive at once and find its components at once.

Gradio's 120 scripts and styles are named by their content, so a browser asks for them once. They are sent from here,
compressed once: Gradio takes 8 to 17 ms of a processor for each (6.31), which was 1.5 s of each first visit.

Gradio 6.31 looks for a component by a walk through the whole page, at each value and each status that arrives. When
the page opens it compares each component with each listener. On a page of 1,300 components and 400 listeners that
was three quarters of the browser's work (docs/FACTS.md). Two functions of Gradio's own file are replaced, as the file
is sent, by functions that make an index. A file that holds other text is sent as it is: the page works, only slower.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

ASSETS, FILES = "/assets/", "core-*.js"
FOREVER = "public, max-age=31536000, immutable"
_NAMED_BY_CONTENT = re.compile(r"-[\w-]{8}\.(js|css)$")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
LEVEL = 5
_WALK = re.compile(
    r"function (?P<name>[\w$]+)\((?P<node>\w+),(?P<id>\w+)\)\{if\((?P=node)\.id===(?P=id)\)return (?P=node);"
    r"if\((?P=node)\.children\)for\(let (?P<child>\w+) of (?P=node)\.children\)"
    r"\{let (?P=node)=(?P=name)\((?P=child),(?P=id)\);if\((?P=node)\)return (?P=node)\}return null\}"
)
# An id that is asked for the first time may be that of a node that came later: the index is completed.
_INDEXED_WALK = r"""
const dreamguiNodes = new WeakMap();
function \g<name>(root, id) {
    const nodes = dreamguiNodes.get(root) ?? new Map();
    if (nodes.has(id)) return nodes.get(id);
    dreamguiNodes.set(root, nodes);
    const waiting = [root];
    while (waiting.length) {
        const node = waiting.pop();
        nodes.set(node.id, node);
        if (node.children) waiting.push(...node.children);
    }
    if (!nodes.has(id)) nodes.set(id, null);
    return nodes.get(id);
}
"""
_EVENTS = re.compile(
    r"let (?P<names>\w+)=(?P<all>\w+)\.filter\((\w+)=>\3\.targets\.find\(\(\[\3\]\)=>\3===(?P<node>\w+)\.id\)\)"
    r"\.map\(\3=>\{let (?P=names)=\3\.targets\.find\(\(\[\3\]\)=>\3===(?P=node)\.id\);"
    r"return (?P=names)\?(?P=names)\[1\]:null\}\)\.filter\(Boolean\);"
)
_INDEXED_EVENTS = r"let \g<names> = dreamguiEvents(\g<all>).get(\g<node>.id) ?? [];"
# Of several events of one listener on one component the first one counts, as before.
_EVENTS_INDEX = """
const dreamguiListeners = new WeakMap();
function dreamguiEvents(listeners) {
    const known = dreamguiListeners.get(listeners);
    if (known) return known;
    const events = new Map();
    for (const {targets} of listeners) {
        const first = new Map();
        for (const [id, event] of targets) if (!first.has(id)) first.set(id, event);
        for (const [id, event] of first) if (event) events.set(id, [...events.get(id) ?? [], event]);
    }
    dreamguiListeners.set(listeners, events);
    return events;
}
"""


def quickened(text: str) -> str | None:
    """Return Gradio's script with both functions replaced, or None where it doesn't hold each of them once."""
    text, walks = _WALK.subn(_INDEXED_WALK, text)
    text, events = _EVENTS.subn(_INDEXED_EVENTS, text)
    return text + _EVENTS_INDEX if walks == events == 1 else None


def quickened_files() -> dict[str, str]:
    """Return the scripts of the installed Gradio that are replaced, by their names."""
    from gradio.routes import BUILD_PATH_LIB

    texts = {
        path.name: quickened(path.read_text(encoding="utf-8")) for path in Path(BUILD_PATH_LIB).glob(FILES)
    }
    return {name: text for name, text in texts.items() if text is not None}


class QuickPage:
    """Middleware that sends Gradio's scripts and styles, two functions of one replaced."""

    def __init__(self, app: ASGIApp) -> None:
        from gradio.routes import BUILD_PATH_LIB

        self._app = app
        self._replaced = quickened_files()
        self._files = {
            path.name: path for path in Path(BUILD_PATH_LIB).iterdir() if _NAMED_BY_CONTENT.search(path.name)
        }
        self._kept = cache(_kept)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a script or style, or pass the request on."""
        _, asset, name = scope.get("path", "").rpartition(ASSETS)
        if not asset or scope["type"] != "http" or scope["method"] != "GET":
            return await self._app(scope, receive, send)
        if name in self._replaced:
            return await _script(self._replaced[name])(scope, receive, send)
        if name in self._files:
            reads = Headers(scope=scope).get("accept-encoding", "")
            answer = Response(*self._kept(self._files[name], "gzip" in reads))
            return await answer(scope, receive, send)
        await self._app(scope, receive, send)


def _kept(path: Path, compressed: bool) -> tuple[bytes, int, dict[str, str]]:
    """Return a file for a response: its bytes, the status and headers."""
    headers = {
        "Cache-Control": FOREVER,
        "Content-Type": TYPES[path.suffix],
        "Vary": "Accept-Encoding",
    }
    data = path.read_bytes()
    if compressed:
        data, headers["Content-Encoding"] = gzip.compress(data, LEVEL), "gzip"
    return data, 200, headers


def _script(text: str) -> Response:
    # Asked for at each visit: the next version of ours may send another text by the same name.
    tag = hashlib.sha256(text.encode()).hexdigest()[:16]
    headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
    return Response(text, media_type="text/javascript", headers=headers)
