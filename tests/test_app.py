"""How the program is started."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from urllib.request import proxy_bypass

import pytest

import app

NAMES = (
    "SPACE_ID",
    "GRADIO_SERVER_NAME",
    "GRADIO_SERVER_PORT",
    "DREAMGUI_LOGIN",
    "DREAMGUI_OPEN",
    "DREAMGUI_OWNER",
)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, "DREAMGUI_BEHIND_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADIO_TEMP_DIR", os.environ.get("GRADIO_TEMP_DIR", tempfile.gettempdir()))


def test_alone_it_listens_on_this_machine_only() -> None:
    chosen = app.options([])
    assert (chosen.host, chosen.logins, chosen.local) == ("127.0.0.1", {}, True)


def test_this_machine_is_never_asked_for_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("no_proxy", "")
    app.prepare_environment("192.168.1.5")
    assert all(proxy_bypass(name) for name in ("localhost", "127.0.0.1", "192.168.1.5", "example.org"))
    assert not proxy_bypass("huggingface.co")
    before = os.environ["NO_PROXY"]
    app.prepare_environment("192.168.1.5")
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == before


def test_a_port_that_is_no_number_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", "abc")
    with pytest.raises(SystemExit):
        app.options([])
    error = capsys.readouterr().err
    assert "--port" in error and "'abc'" in error


def test_a_taken_port_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DREAMGUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.main(["--port", str(port), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in error and "--port" in error and "Traceback" not in error


def test_a_home_that_cannot_be_used_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("x")
    monkeypatch.setenv("DREAMGUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert app.main([]) == 2
    assert "can't be used" in capsys.readouterr().err
