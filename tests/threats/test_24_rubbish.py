"""24: what no listener can answer is refused before Gradio works on it, and who sends rubbish waits for each refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import app
from dreamgui.ui.guard.blocks import SCOPE_KEY
from dreamgui.ui.guard.bodies import LARGEST_BODY_BYTES
from dreamgui.ui.guard.tarpit import (
    FORGOTTEN_PER_SECOND,
    FREE_REFUSALS,
    LONGEST_SECONDS,
    MOST_WAITING,
    SENDERS_KEPT,
    Refusals,
    Tarpit,
)
from tests.loops import run_apart
from tests.threats.strangers import API, Visitor
from tests.ui.conftest import Page, serve
from tests.ui.fakes import fake_services, fake_visitor_services


@pytest.fixture(scope="module", params=["local", "strangers"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp(request.param)
    services = (fake_services if request.param == "local" else fake_visitor_services)(folder / "work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        yield from serve(services)


def listeners(page: Page) -> dict[int, Any]:
    return page.app.get_blocks().fns


def test_an_unknown_listener_is_told_in_a_sentence(page: Page, capfd: pytest.CaptureFixture[str]) -> None:
    visitor = Visitor(page.url)
    browsers = [number for number, one in listeners(page).items() if one.fn is None]
    assert browsers
    body = {"fn_index": 10**9, "data": [], "session_hash": "mine"}
    for way, changes in (
        ("queue/join", {}),
        ("queue/join", {"fn_index": "1"}),
        ("queue/join", {"fn_index": True}),
        ("queue/join", {"fn_index": None}),
        ("run/predict", {}),
        ("run/no-such", {"fn_index": None}),
        ("api/no-such", {"fn_index": None}),
        ("call/no-such", {}),
        ("call/v2/no-such", {}),
        *(("queue/join", {"fn_index": each}) for each in browsers),
    ):
        answer = visitor.client.post(f"/{API}/{way}", json={**body, **changes})
        assert answer.status_code == 404, (way, changes)
        assert answer.json()["detail"] == "Refused: The page has no such listener. Load the page again."
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_wrong_number_of_values_never_reaches_the_queue(page: Page) -> None:
    visitor = Visitor(page.url)
    before = page.app.get_blocks()._queue.events_recorded
    for number, listener in [(each, one) for each, one in listeners(page).items() if one.fn][:50]:
        for count in {0, len(listener.inputs) + 1} - {len(listener.inputs)}:
            answer = visitor.join(number, [1] * count)
            assert answer.status_code == 400
            assert (
                f"{count} values were sent, and {len(listener.inputs)} are needed" in answer.json()["detail"]
            )
    assert page.app.get_blocks()._queue.events_recorded == before


def test_a_body_that_is_no_request_is_refused(page: Page, capfd: pytest.CaptureFixture[str]) -> None:
    visitor = Visitor(page.url)
    for body, status in (
        (b"{" * 1000, 400),
        (b"[" * 40_000 + b"]" * 40_000, 400),
        (b"[1, 2]", 400),
        (b'{"fn_index": 0, "data": ["' + b"x" * LARGEST_BODY_BYTES + b'"]}', 413),
    ):
        assert visitor.client.post(f"/{API}/queue/join", content=body).status_code == status
    assert "Traceback" not in "".join(capfd.readouterr())


def test_what_the_page_asks_is_answered_as_before(page: Page) -> None:
    visitor = Visitor(page.url)
    number = next(each for each, one in listeners(page).items() if one.api_name == "status")
    visitor.ask([{"fn_index": number, "data": []}])
    assert '"process_completed"' in visitor.heard and '"success":true' in visitor.heard
    answer = visitor.client.post(f"/{API}/call/status", json={"data": []})
    assert answer.status_code == 200 and answer.json()["event_id"]


def test_news_of_a_made_up_session_end_at_once(page: Page, capfd: pytest.CaptureFixture[str]) -> None:
    visitor = Visitor(page.url)
    answer = visitor.client.get(f"/{API}/queue/data", params={"session_hash": "made-up"})
    assert answer.status_code == 200 and '"session_not_found": true' in answer.text
    assert "Traceback" not in "".join(capfd.readouterr())


class Slow:
    """An app behind a tarpit, on a clock of its own; it refuses all but /good."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        routes = [Route("/{path}", self.answer)]
        tarpit = Middleware(Tarpit, refusals=Refusals(lambda: self.now), sleep=self.sleep)
        self.client = TestClient(Starlette(routes=routes, middleware=[tarpit]), raise_server_exceptions=False)

    def answer(self, request: Request) -> PlainTextResponse:
        if visitor := request.headers.get("visitor"):
            request.scope[SCOPE_KEY] = visitor
        if request.path_params["path"] == "error":
            raise ValueError("rubbish")
        return PlainTextResponse("", 200 if request.path_params["path"] == "good" else 404)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def ask(self, path: str, times: int = 1, **headers: str) -> list[float]:
        """Ask so often; return the delays."""
        self.slept.clear()
        for _ in range(times):
            self.client.get(
                f"/{path}", headers={name.replace("_", "-"): text for name, text in headers.items()}
            )
        return list(self.slept)


def test_refusals_come_later_and_good_answers_at_once() -> None:
    slow = Slow()
    assert slow.ask("bad", FREE_REFUSALS) == []
    assert slow.ask("error")
    delays = slow.ask("bad", 300)
    assert len(delays) == 300 and delays == sorted(delays) and delays[-1] == LONGEST_SECONDS
    assert slow.ask("good", 50) == []
    slow.now += 501 / FORGOTTEN_PER_SECOND
    assert slow.ask("bad", FREE_REFUSALS) == []


def test_who_has_a_cookie_does_not_wait_for_the_rubbish_of_another_one() -> None:
    slow = Slow()
    assert slow.ask("bad", FREE_REFUSALS + 1)
    assert slow.ask("bad", FREE_REFUSALS, visitor="anna") == []
    assert slow.ask("bad", 1, visitor="anna") and slow.ask("bad", 1, visitor="ben") == []


def test_a_proxys_word_for_an_address_makes_no_new_sender() -> None:
    slow = Slow()
    for number in range(FREE_REFUSALS):
        assert slow.ask("bad", x_forwarded_for=f"10.0.0.{number}") == []
    assert slow.ask("bad", x_forwarded_for="10.1.1.1")


def test_only_so_many_answers_wait_and_the_next_ones_connection_is_closed() -> None:
    async def waited() -> tuple[list[Any], list[Any]]:
        over, heard = asyncio.Event(), list[Any]()

        async def sleep(_: float) -> None:
            await over.wait()

        async def send(message: Any) -> None:
            heard.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        def asked() -> Any:
            scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("10.0.0.1", 1)}
            return tarpit(scope, receive, send)

        tarpit = Tarpit(PlainTextResponse("", 404), sleep=sleep)
        for _ in range(FREE_REFUSALS):
            await asked()
        heard.clear()
        waiting = [asyncio.create_task(asked()) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        assert not heard
        await asked()
        closed = list(heard)
        over.set()
        await asyncio.gather(*waiting)
        return closed, heard

    closed, heard = run_apart(waited())
    assert (b"connection", b"close") in closed[0]["headers"]
    assert len(heard) == 2 * (MOST_WAITING + 1)


def test_senders_are_forgotten_when_they_are_many() -> None:
    refusals = Refusals(lambda: 0.0)
    for number in range(3 * SENDERS_KEPT):
        refusals.delay(str(number))
    assert len(refusals._counts) == SENDERS_KEPT


@pytest.mark.parametrize("argv", [[], ["--share", "--open"]])
def test_the_tarpit_is_the_outermost_check_of_each_page(argv: list[str], tmp_path: Path) -> None:
    services = (fake_visitor_services if argv else fake_services)(tmp_path)
    assert app.guards(app.options(argv), services, lambda: None)[0].cls is Tarpit
