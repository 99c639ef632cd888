"""The page is made once for each address, compressed, with its settings as JSON and a head before its scripts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from dreamgui.ui.sent_page import ADDRESSES, SentPage, with_first_head
from tests.ui.conftest import Page

SETTINGS = "<script>window.gradio_config = {};</script><script>window.gradio_api_info = {};</script>"


def page_of(config: str) -> str:
    return (
        f"<html><head>{SETTINGS.replace('{}', config)}</head><body class='x'>{'page ' * 1000}</body></html>"
    )


class Made:
    """An app that counts how often its page is made."""

    def __init__(self, **cookies: str) -> None:
        self.count, self.cookies = 0, cookies
        routes = [
            Route("/", self.page, methods=["GET"]),
            Route("/{path:path}", lambda request: PlainTextResponse("passed on " * 100)),
        ]
        self.app: Any = Starlette(routes=routes, middleware=[Middleware(SentPage, title="A & B")])
        self.client = TestClient(self.app)

    def page(self, request: Request) -> Response:
        self.count += 1
        answer = HTMLResponse(page_of(json.dumps({"root": str(request.base_url)})))
        for name, value in self.cookies.items():
            answer.set_cookie(name, value)
        return answer


def test_the_page_is_compressed_and_made_once_for_each_address() -> None:
    made = Made()
    for _ in range(3):
        page = made.client.get("/")
        assert page.headers["content-encoding"] == "gzip" and page.text.count("page ") == 1000
        assert int(page.headers["content-length"]) < len(page.text) / 5
        assert "http://testserver/" in page.text
    assert made.count == 1
    assert "http://other/" in made.client.get("/", headers={"host": "other"}).text
    assert "content-encoding" not in made.client.get("/", headers={"Accept-Encoding": "identity"}).headers
    made.client.get("/?deep_link=x")
    made.client.get("/", headers={"x-forwarded-host": "third"})
    assert made.count == 5
    for number in range(2 * ADDRESSES):
        made.client.get("/", headers={"host": f"host-{number}"})
    made.client.get("/")
    assert made.count == 6 + 2 * ADDRESSES


def test_all_else_passes_as_it_is() -> None:
    passed = Made().client.get("/gradio_api/queue/data")
    assert passed.text.startswith("passed on") and "content-encoding" not in passed.headers


def test_whether_it_is_there_is_told_at_once_and_the_first_visitor_finds_it_made() -> None:
    made = Made()
    asked = made.client.head("/")
    assert asked.status_code == 200 and not asked.content and made.count == 1
    made.client.get("/")
    assert made.count == 1


def test_what_depends_on_the_visitor_is_made_for_each() -> None:
    made = Made()
    made.app.auth = {"anna": "secret"}
    made.client.get("/")
    made.client.get("/")
    assert made.count == 2
    with_cookie = Made(session="x")
    assert with_cookie.client.get("/").cookies["session"] == "x"
    with_cookie.client.get("/")
    assert with_cookie.count == 2


def test_a_head_that_is_added_outside_is_each_answers_own() -> None:
    made = Made()

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        async def tell(message: Any) -> None:
            if "headers" in message:
                message["headers"].append((b"x-visit", b"1"))
            await send(message)

        await made.app(scope, receive, tell)

    client = TestClient(outside)
    for _ in range(2):
        assert client.get("/").headers.get_list("x-visit") == ["1"]


@pytest.mark.parametrize("config", ['{"a": "\\u003c/script\\u003e };"}', "{}"])
def test_settings_are_read_as_json_and_a_head_stands_before_them(config: str) -> None:
    sent = with_first_head(page_of(config).encode(), "A & B").decode()
    read = re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', sent, re.DOTALL)
    assert [(name, json.loads(text)) for name, text in read] == [
        ("gradio_config", json.loads(config)),
        ("gradio_api_info", json.loads(config)),
    ]
    assert sent.index("<body") < sent.index("A &amp; B") < sent.index("page page")


def test_a_login_page_and_another_gradios_page_stay() -> None:
    for text in (page_of('{"auth_required":true}'), "other text"):
        assert with_first_head(text.encode(), "x").decode() == text


def test_the_installed_gradios_page_is_as_expected(page: Page) -> None:
    import httpx

    text = httpx.get(page.url).text
    assert 'id="dg-first"' in text and text.count('<script type="application/json" id="gradio_') == 2
