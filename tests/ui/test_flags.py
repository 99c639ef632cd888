"""Flags of ``app.py`` that reach Gradio: the MCP server, and the page as a window of its own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import app
from dreamgui.errors import BadInput
from dreamgui.services import Services
from dreamgui.ui import build
from tests.ui.fakes import fake_services, fake_visitor_services


class Recorded:
    """Blocks that keep what they would be launched with."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def launch(self, **options: Any) -> None:
        self.options = options
        raise OSError("recorded")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    recorded = Recorded()
    monkeypatch.setattr(build, "create_ui", lambda *_: recorded)
    return recorded


def launched(recorded: Recorded, services: Services, *argv: str) -> dict[str, Any]:
    with pytest.raises(BadInput, match="recorded"):
        app._serve(app.options(argv), services, serving=None)  # pyright: ignore[reportArgumentType]
    return recorded.options


def test_this_machines_page_can_be_a_window_and_a_strangers_page_cannot(
    recorded: Recorded, tmp_path: Path
) -> None:
    own = launched(recorded, fake_services(tmp_path / "own"))
    assert own["pwa"] is True and own["mcp_server"] is False
    shared = launched(
        recorded, fake_visitor_services(tmp_path / "shared"), "--share", "--login", "anna:rather-l0ng-s3cret"
    )
    assert shared["pwa"] is False and shared["mcp_server"] is False


def test_the_mcp_server_is_on_request_and_needs_its_package(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = fake_services(tmp_path)
    monkeypatch.setattr(app, "find_spec", lambda name: None if name == "mcp" else find_spec(name))
    with pytest.raises(BadInput) as refused:
        app._serve(app.options(["--mcp"]), services, serving=None)  # pyright: ignore[reportArgumentType]
    assert "gradio[mcp]" in refused.value.next_step and recorded.options == {}
    monkeypatch.setattr(app, "find_spec", lambda name: True)
    assert launched(recorded, services, "--mcp")["mcp_server"] is True


@pytest.mark.parametrize("argv", [["--share"], ["--behind-proxy"], ["--host", "0.0.0.0"]])
def test_no_mcp_server_where_others_reach_the_page(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        app.options(["--mcp", *argv])
    assert "--mcp is for the page of this machine alone" in capsys.readouterr().err
