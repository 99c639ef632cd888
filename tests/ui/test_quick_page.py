"""Gradio's script with an index in place of walks; that the page works with it is shown by the tests of the browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradio.routes import BUILD_PATH_LIB
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from dreamgui.ui.quick_page import FOREVER, QuickPage, quickened, quickened_files


def test_the_installed_gradios_script_is_replaced() -> None:
    ((name, text),) = quickened_files().items()
    assert name.startswith("core-")
    assert text.count("function dreamguiEvents(") == 1 and text.count("dreamguiEvents(") == 2
    assert text.count("new WeakMap()") >= 2 and ".find_attached_events(" in text


def test_other_names_by_the_minifier_are_the_same_text() -> None:
    walk = "function $a(n,i){if(n.id===i)return n;if(n.children)for(let c of n.children){let n=$a(c,i);if(n)return n}return null}"
    events = (
        "let x=d.filter(d=>d.targets.find(([d])=>d===n.id)).map(d=>{let x=d.targets.find(([d])=>d===n.id);"
        "return x?x[1]:null}).filter(Boolean);"
    )
    found = quickened(f"1;{walk}2;{events}3;")
    assert found is not None
    assert "function $a(root, id)" in found and "let x = dreamguiEvents(d).get(n.id) ?? [];3;" in found


def test_a_script_of_another_text_is_left_alone() -> None:
    assert quickened("function f(){}") is None


def client() -> TestClient:
    routes = [Route("/{path:path}", lambda request: PlainTextResponse("passed on"))]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(QuickPage)]))


def test_the_replaced_script_is_sent_and_all_else_passed_on() -> None:
    ((name, text),) = quickened_files().items()
    for path in (f"/assets/{name}", f"/below/assets/{name}"):
        sent = client().get(path)
        assert sent.text == text and sent.headers["content-type"].startswith("text/javascript")
        assert sent.headers["cache-control"] == "no-cache"
    for path in (
        f"/{name}",
        "/assets/other.js",
        "/assets/Index-a1B_2-c3.js",
        "/assets/../x-a1B_2-c3.js",
        "/",
    ):
        passed = client().get(path)
        assert passed.text == "passed on" and "cache-control" not in passed.headers


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize(
    ("ending", "kind"), [("js", "text/javascript; charset=utf-8"), ("css", "text/css; charset=utf-8")]
)
def test_gradios_own_scripts_and_styles_are_sent_as_they_are(encoding: str, ending: str, kind: str) -> None:
    path = next(path for path in sorted(Path(BUILD_PATH_LIB).glob(f"index-*.{ending}")))
    sent = client().get(f"/assets/{path.name}", headers={"Accept-Encoding": encoding})
    assert sent.content == path.read_bytes() and sent.headers["content-type"] == kind
    assert sent.headers["cache-control"] == FOREVER
    assert sent.headers.get("content-encoding", "identity") == encoding
