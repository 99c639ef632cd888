"""A page on fake recipes, served for the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client
from starlette.middleware import Middleware

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from dreamgui.services import Services, VisitorServices
from dreamgui.ui.build import BEHIND_THE_GUARD, create_ui
from dreamgui.ui.guard.visits import COOKIE, Terms, Visits
from dreamgui.ui.parts.watch import PLACES
from dreamgui.visitors import Cookies
from tests.ui.fakes import fake_services, fake_visitor_services


@dataclass(frozen=True)
class Page:
    """A served page: its address, what it works on, and gradio's app."""

    url: str
    services: Services
    app: Any = None


def serve(
    services: Services, auth: list[tuple[str, str]] | None = None, owner: str = "", **terms: Any
) -> Iterator[Page]:
    """Serve a page until the generator is closed; with services of visitors behind their guard, on further terms."""
    blocks = create_ui(services)
    guard = [Middleware(Visits, terms=Terms(Cookies(b"key"), owner, **terms)), *BEHIND_THE_GUARD]
    _, url, _ = blocks.launch(
        server_name="127.0.0.1",
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        run_history=False,
        auth=auth,
        max_threads=PLACES,
        app_kwargs={"middleware": guard if isinstance(services, VisitorServices) else guard[1:]},
    )
    try:
        yield Page(url, services, blocks.app)
    finally:
        blocks.close(verbose=False)


def visit(page: Page) -> Client:
    """A new visitor of a page for strangers: loads it, and shows its cookie from then on."""
    cookie = httpx.get(page.url).cookies[COOKIE]
    return Client(page.url, headers={"cookie": f"{COOKIE}={cookie}"}, verbose=False)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page whose user sits at this machine."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    yield from serve(fake_services(tmp_path / "work"))


@pytest.fixture
def public_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page that strangers reach."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    yield from serve(fake_visitor_services(tmp_path / "work"))
