"""33: a workspace is its user's alone, and one program serves it at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import app
from dreamgui.serving import AlreadyServed, served_alone
from dreamgui.workspace import SHELVES, Workspace
from tests.test_app import plain

__all__ = ["plain"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_workspace_is_its_users_alone_whatever_the_umask_and_whenever_it_was_made(tmp_path: Path) -> None:
    for shelf in (*SHELVES, "exports", "trash"):
        (tmp_path / "old" / shelf).mkdir(parents=True)
        (tmp_path / "old" / shelf).chmod(0o777)
    before = os.umask(0)
    try:
        for workspace in (Workspace(tmp_path / "old"), Workspace(tmp_path / "new")):
            assert {mode(path) for path in workspace.root.iterdir()} == {0o700}
        assert mode(tmp_path / "new") == 0o700
    finally:
        os.umask(before)


SERVE = """
import sys
from dreamgui.serving import served_alone
from pathlib import Path
with served_alone(Path(sys.argv[1])) as lock:
    lock.tell("http://127.0.0.1:7999")
    print("mine", flush=True)
    sys.stdin.read()
"""


def test_a_second_program_is_told_of_the_first_and_takes_over_once_it_is_dead(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    first = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path)],
        stdin=pipe,
        stdout=pipe,
        text=True,
        cwd=Path(app.__file__).parent,
    )
    assert first.stdout is not None and first.stdout.readline() == "mine\n"
    with pytest.raises(AlreadyServed) as caught, served_alone(tmp_path):
        pass
    assert caught.value.url == "http://127.0.0.1:7999"
    assert str(first.pid) in str(caught.value) and "http://127.0.0.1:7999" in str(caught.value)
    first.kill()
    first.wait()
    with served_alone(tmp_path):
        pass


def test_the_second_start_opens_the_first_ones_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DREAMGUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    with served_alone(tmp_path / "home") as lock:
        lock.tell("http://127.0.0.1:7999/")
        assert app.main([]) == 0
    assert opened == ["http://127.0.0.1:7999/"]
    assert "already" in capsys.readouterr().out
