"""A server for this machine's user answers no other web page, whatever it calls itself."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from dreamgui.ui.guard import middleware


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
