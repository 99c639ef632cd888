"""24: connections that send nothing, or half of something, end, and never keep others out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

import app
from dreamgui.ui import build
from dreamgui.ui.guard import connections
from dreamgui.ui.guard.connections import MOST_OF_A_CLIENT, MOST_OPEN, Connections, Limited, limit
from tests.threats.strangers import API, Visitor
from tests.ui.conftest import Page, serve
from tests.ui.fakes import fake_services, fake_visitor_services

SOON = 0.3
"""Seconds in which a connection must bring its request, here."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("connections")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        yield from serve(fake_services(folder / "work"))


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def limited(
    page: Page, monkeypatch: pytest.MonkeyPatch, in_all: int = MOST_OPEN, **limits: Any
) -> Connections:
    """Limit a page's connections, new ones from now on, until the test is over."""
    server = page.app.get_blocks().server
    for name in ("http_protocol_class", "ws_protocol_class"):
        monkeypatch.setattr(server.config, name, getattr(server.config, name))
    monkeypatch.setattr(connections, "MOST_OPEN", in_all)
    return limit(server, **limits)


def connect(page: Page, opened: ExitStack, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    where = urlsplit(page.url)
    address = where.hostname or "", where.port or 0
    connection = opened.enter_context(socket.create_connection(address, 60, (source, 0)))
    connection.sendall(sent)
    return connection


def is_ended(connection: socket.socket) -> bool:
    """Read until the server ends the connection; False if it doesn't in a minute."""
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(65_536))
    except BlockingIOError:
        return True
    except OSError:
        return False


def get(page: Page, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(page.url).netloc}\r\n\r\n".encode()


def post(page: Page, headers: str) -> bytes:
    return f"POST /{API}/upload HTTP/1.1\r\nHost: {urlsplit(page.url).netloc}\r\n{headers}\r\n\r\n".encode()


def test_who_sends_nothing_or_half_a_head_is_ended(
    page: Page, monkeypatch: pytest.MonkeyPatch, opened: ExitStack
) -> None:
    count = limited(page, monkeypatch, seconds=SOON)
    theme = get(page, "/theme.css")
    for sent in (b"", b"G", theme[:-2], theme + theme[:-2], theme + b"G"):
        assert is_ended(connect(page, opened, sent)), sent
    assert len(count) == 0


def test_a_body_that_stops_is_ended_and_one_that_goes_on_is_not(
    page: Page, monkeypatch: pytest.MonkeyPatch, opened: ExitStack
) -> None:
    limited(page, monkeypatch, seconds=SOON)
    head = post(page, "Content-Type: multipart/form-data; boundary=bb\r\nContent-Length: 1000")
    # A body that begins otherwise is answered, and ended, at once.
    part = b'--bb\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    going = connect(page, opened, head + part)
    # Longer than a loaded machine keeps this thread from sending.
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 10 * SOON)
    stopped = connect(page, opened, head + b"--bb\r\n")
    stopped.settimeout(SOON / 5)
    for _ in range(600):
        going.sendall(b"x")
        try:
            if not stopped.recv(1000):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        pytest.fail("a body that stopped is waited for")
    assert is_open(going)


def test_a_page_that_reads_news_stays(page: Page, monkeypatch: pytest.MonkeyPatch, opened: ExitStack) -> None:
    limited(page, monkeypatch, seconds=SOON)
    reading = connect(page, opened, get(page, f"/{API}/heartbeat/mine"))
    assert reading.recv(10)
    for _ in range(4):
        assert is_ended(connect(page, opened))
    assert is_open(reading)


def test_silent_connections_make_room(page: Page, monkeypatch: pytest.MonkeyPatch, opened: ExitStack) -> None:
    count = limited(page, monkeypatch, in_all=20)
    reading = connect(page, opened, get(page, f"/{API}/heartbeat/mine"))
    assert reading.recv(10)
    half = post(page, "Content-Type: multipart/form-data; boundary=bb\r\nContent-Length: 1000")
    silent = [connect(page, opened, sent) for sent in (b"", b"G", half) * 20]
    for _ in range(30):
        assert httpx.get(f"{page.url}theme.css", timeout=60).status_code == 200
    assert count.most == 20 and is_open(reading)
    assert all(is_ended(one) for one in silent[:40])


def test_one_address_has_so_many_and_others_get_in(
    page: Page, monkeypatch: pytest.MonkeyPatch, opened: ExitStack
) -> None:
    limited(page, monkeypatch, of_a_client=5)
    for number in range(5):
        taken = connect(page, opened, get(page, f"/{API}/heartbeat/taken-{number}"), "127.0.0.2")
        assert taken.recv(10)
    assert is_ended(connect(page, opened, get(page, "/theme.css"), "127.0.0.2"))
    connection = connect(page, opened, get(page, "/theme.css"))
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_process_of_few_files_has_fewer_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for files, most in ((256, 128), (100_000, MOST_OPEN), (resource.RLIM_INFINITY, MOST_OPEN)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert connections.most_open() == most


def test_a_visitor_asks_so_much_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: ExitStack
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setattr("dreamgui.ui.guard.visits.MOST_OF_A_CLIENT", 5)
    for page in serve(fake_visitor_services(tmp_path / "work")):
        anna, ben = Visitor(page.url), Visitor(page.url)
        head = get(page, f"/{API}/heartbeat/mine")[:-2]
        for _ in range(5):
            taken = connect(page, opened, head + f"Cookie: dreamgui-visitor={anna.cookie}\r\n\r\n".encode())
            assert taken.recv(10)
        assert anna.client.get("/config").status_code == 429
        assert ben.client.get("/config").status_code == 200


class Launched:
    """Blocks whose server has been started."""

    local_url = "http://127.0.0.1:7860"

    def __init__(self) -> None:
        config = SimpleNamespace(http_protocol_class=asyncio.Protocol, ws_protocol_class=asyncio.Protocol)
        self.server = SimpleNamespace(config=config)

    def launch(self, **_: Any) -> None:
        pass


class Ended(Exception):
    """The end of the test: the page is served."""


class Told:
    def tell(self, _: str) -> None:
        raise Ended


@pytest.mark.parametrize(
    ("argv", "of_a_client"),
    [
        ([], MOST_OPEN),
        (["--share", "--open"], MOST_OPEN),
        (["--behind-proxy", "--open"], MOST_OPEN),
        (["--host", "0.0.0.0", "--open"], MOST_OF_A_CLIENT),
    ],
)
def test_each_page_is_limited(
    argv: list[str], of_a_client: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = Launched()
    monkeypatch.setattr(build, "create_ui", lambda *_: blocks)
    services = (fake_visitor_services if argv else fake_services)(tmp_path)
    with pytest.raises(Ended):
        app._serve(app.options(argv), services, Told())  # pyright: ignore[reportArgumentType]
    protocol: Any = blocks.server.config.http_protocol_class
    assert issubclass(protocol, Limited) and blocks.server.config.ws_protocol_class is None
    assert protocol.places._of_a_client == of_a_client
