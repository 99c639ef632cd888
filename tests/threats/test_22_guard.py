"""22: the page answers no other web page, whatever that calls itself."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from dreamgui.ui.guard.origin import ANY_HOST, HUGGING_FACE, middleware


@pytest.fixture
def client() -> TestClient:
    app = FastAPI(middleware=middleware())

    @app.post("/join")
    def join() -> str:
        return "joined"

    @app.get("/")
    def home() -> str:
        return "page"

    return TestClient(app, base_url="http://127.0.0.1:7860")


def post(client: TestClient, **headers: str) -> int:
    return client.post("/join", headers=headers).status_code


def test_the_own_page_and_programs_get_in(client: TestClient) -> None:
    assert post(client, origin="http://127.0.0.1:7860") == 200
    assert post(client) == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:9999", "null", "http://127.0.0.1.evil.example"]
)
def test_another_origin_is_refused(client: TestClient, origin: str) -> None:
    assert post(client, origin=origin) == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example"])
def test_a_forged_host_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 400
    assert post(client, host=host, origin=f"http://{host}") == 400


def get(client: TestClient, **headers: str) -> int:
    return client.get(
        "/", headers={name.replace("_", "-"): value for name, value in headers.items()}
    ).status_code


def test_another_page_cannot_read_either(client: TestClient) -> None:
    assert get(client) == get(client, sec_fetch_site="same-origin", sec_fetch_mode="cors") == 200
    assert get(client, sec_fetch_site="none", sec_fetch_mode="navigate") == 200
    assert get(client, sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200
    for site in ("same-site", "cross-site"):
        for mode in ("no-cors", "cors", "websocket"):
            assert get(client, sec_fetch_site=site, sec_fetch_mode=mode) == 403
    assert get(client, origin="http://localhost:9999") == 403


def test_a_form_of_another_page_is_refused(client: TestClient) -> None:
    assert post(client, **{"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}) == 403


def test_no_other_page_shows_this_one_in_a_frame(client: TestClient) -> None:
    headers = client.get("/").headers
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "SAMEORIGIN" and headers["x-content-type-options"] == "nosniff"
    assert (
        "frame-ancestors"
        in client.get("/", headers={"host": "evil.example"}).headers["content-security-policy"]
    )


def served(checks: list[Middleware]) -> TestClient:
    app = FastAPI(middleware=checks)

    @app.post("/join")
    def join() -> str:
        return "joined"

    return TestClient(app, base_url="http://machine:7860")


def test_a_forwarded_host_counts_only_from_a_configured_proxy() -> None:
    forged = {"origin": "https://evil.example", "x-forwarded-host": "evil.example"}
    assert post(served(middleware((ANY_HOST,))), **forged) == 403
    behind = served(middleware((ANY_HOST,), behind_proxy=True))
    assert post(behind, **{"origin": "https://mine.example", "x-forwarded-host": "mine.example"}) == 200
    # The configured proxy appends what it was asked for; what stood before is the client's word.
    assert (
        post(behind, **{"origin": "https://evil.example", "x-forwarded-host": "evil.example, mine.example"})
        == 403
    )


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "", "https://machine", "http://machine:7861"]
)
def test_a_shared_page_refuses_other_origins_too(origin: str) -> None:
    shared = served(middleware((ANY_HOST,), known_names=lambda: ["abc.gradio.live", ""]))
    assert post(shared, origin=origin) == 403
    assert post(shared, origin="https://abc.gradio.live") == post(shared, origin="http://machine:7860") == 200


def test_a_space_is_shown_by_hugging_face_only() -> None:
    headers = served(middleware((ANY_HOST,), framed_by=HUGGING_FACE)).post("/join").headers
    assert "frame-ancestors 'self' https://huggingface.co" in headers["content-security-policy"]
    assert "x-frame-options" not in headers


def test_an_address_of_ipv6_is_known() -> None:
    app = FastAPI(middleware=middleware())
    app.get("/")(lambda: "page")
    assert TestClient(app, base_url="http://[::1]:7860").get("/").status_code == 200
