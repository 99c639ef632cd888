"""How the program is started."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

import app


def test_alone_it_listens_on_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "DREAMGUI_LOGIN"):
        monkeypatch.delenv(name, raising=False)
    chosen = app.options([])
    assert (chosen.host, chosen.login, chosen.local) == ("127.0.0.1", None, True)


def test_on_a_space_it_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/dreamgui")
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    chosen = app.options([])
    assert (chosen.host, chosen.local) == ("0.0.0.0", False)


def test_a_shared_link_always_has_a_login(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = app.options(["--share"])
    assert chosen.login is not None and len(chosen.login[1]) >= 20 and not chosen.local
    assert chosen.login[1] in capsys.readouterr().out
    assert app.options(["--share", "--login", "anna:s3:cret"]).login == ("anna", "s3:cret")


@pytest.mark.parametrize("login", ["anna", ":x", "anna:"])
def test_half_a_login_is_refused(login: str) -> None:
    with pytest.raises(SystemExit):
        app.options(["--login", login])


def test_photographs_of_a_killed_server_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    left, living = tmp_path / f"dreamgui-{ended.pid}-abc", tmp_path / f"dreamgui-{os.getpid()}-abc"
    for folder in (left, living):
        folder.mkdir()
        (folder / "anna.jpg").write_bytes(b"x")
    app.sweep_cache_folders()
    assert not left.exists() and living.exists()
