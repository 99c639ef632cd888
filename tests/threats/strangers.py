"""A page for strangers, and visitors who speak its protocol by hand, so that they can send what no browser would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from dreamgui.ui.guard.visits import COOKIE

API = "gradio_api"


def routes_of(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield method and template of each route of an app, those of included routers among them."""
    for route in routes:
        if isinstance(route, APIRoute | Route):
            yield from ((method, prefix + route.path) for method in route.methods or ())
        elif (router := getattr(route, "original_router", None)) is not None:
            yield from routes_of(router.routes, prefix)
        else:
            yield "?", repr(route)


@dataclass
class Visitor:
    """A visitor with a cookie, or a stranger without one.

    Attributes:
        lines: all that the server has sent.
    """

    url: str
    loads_page: bool = True
    client: httpx.Client = field(init=False)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=60)
        if self.loads_page:
            self.lines.append(self.client.get("/").text)

    @property
    def heard(self) -> str:
        """All that the server has sent, as one text."""
        return "\n".join(self.lines)

    @property
    def cookie(self) -> str:
        """The visitor's secret."""
        return self.client.cookies[COOKIE]

    def config(self) -> dict[str, Any]:
        """The page's components and listeners."""
        answer = self.client.get("/config")
        self.lines.append(answer.text)
        return answer.json()

    def upload(self, name: str, data: bytes) -> str:
        """Upload a file; return its path on the server."""
        answer = self.client.post(f"/{API}/upload", files={"files": (name, data)})
        assert answer.status_code == 200, answer.text
        return answer.json()[0]

    def get(self, path: str) -> httpx.Response:
        """Fetch a file of gradio's cache."""
        return self.client.get(f"/{API}/file={path}")

    def join(self, fn_index: int, data: list[Any], session: str = "mine", **more: Any) -> httpx.Response:
        """Ask a listener, which may be a hidden one."""
        body = {"fn_index": fn_index, "data": data, "session_hash": session, **more}
        return self.client.post(f"/{API}/queue/join", json=body)

    def ask(self, asked: list[dict[str, Any]], session: str = "mine") -> None:
        """Ask several listeners and hear the first answer of each; some go on as long as the page is open."""
        events: set[str] = set()
        for body in asked:
            answer = self.client.post(f"/{API}/queue/join", json={"session_hash": session, **body})
            self.lines.append(answer.text)
            if answer.status_code == 200:
                events.add(answer.json()["event_id"])
        if not events:
            return
        with self.client.stream("GET", f"/{API}/queue/data", params={"session_hash": session}) as stream:
            for line in stream.iter_lines():
                self.lines.append(line)
                message = json.loads(line[5:]) if line.startswith("data:") else {"msg": ""}
                if message["msg"] in ("process_generating", "process_completed"):
                    events.discard(message["event_id"])
                if not events:
                    break


def files_in(heard: str) -> list[str]:
    """Paths of all files that the server's answers name."""
    return list(dict.fromkeys(json.loads(f'"{path}"') for path in re.findall(r'"path":\s*"([^"]+)"', heard)))
