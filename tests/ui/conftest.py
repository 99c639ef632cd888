"""A page on fake recipes, served for the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from dreamgui.services import Services
from dreamgui.ui.build import create_ui
from tests.ui.fakes import fake_services


@dataclass(frozen=True)
class Page:
    """A served page: its address and what it works on."""

    url: str
    services: Services


def serve(services: Services, *, local: bool = True) -> Iterator[Page]:
    """Serve a page until the generator is closed."""
    blocks = create_ui(services, local=local)
    _, url, _ = blocks.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False, run_history=False
    )
    try:
        yield Page(url, services)
    finally:
        blocks.close(verbose=False)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page whose user sits at this machine."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    yield from serve(fake_services(tmp_path / "work"))


@pytest.fixture
def public_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page that strangers reach."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    yield from serve(fake_services(tmp_path / "work"), local=False)
