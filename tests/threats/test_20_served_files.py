"""20: gradio's folder is private, swept at the next start, and nothing else is served."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import app
from dreamgui import serving

START = """
import sys
from dreamgui import serving
print(serving.claim_cache_folder(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "base"))
    return tmp_path / "base"


def started() -> tuple[subprocess.Popen[str], Path]:
    """A server's beginning in a process of its own, with a photograph in its folder."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", START], stdin=pipe, stdout=pipe, text=True, cwd=Path(app.__file__).parent
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    (folder / "anna.jpg").write_bytes(b"x")
    return process, folder


def test_what_a_killed_server_left_is_gone_at_the_next_start_and_a_living_one_keeps_its_own(
    base: Path,
) -> None:
    dead, left = started()
    living, kept = started()
    dead.kill()
    dead.wait()
    # A container that starts again has the same process number: ownership of the lock counts, not that.
    serving.clean_up_cache_folders(base)
    assert not left.exists() and (kept / "anna.jpg").exists()
    living.communicate()
    assert not kept.exists() and not list(base.iterdir())


def test_the_folder_is_this_users_alone(base: Path) -> None:
    folder = serving.claim_cache_folder()
    assert folder.is_relative_to(base) and os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_another_folder_or_a_link_is_not_swept(base: Path, tmp_path: Path) -> None:
    base.mkdir()
    (tmp_path / "precious").mkdir()
    (base / "dreamgui-page-x").symlink_to(tmp_path / "precious")
    (base / "holiday").mkdir()
    serving.clean_up_cache_folders(base)
    assert (tmp_path / "precious").exists() and (base / "holiday").exists()


def test_a_user_without_a_name_can_start(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(path: Path) -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(Path, "owner", nameless)
    assert serving.claim_cache_folder().is_dir()


@pytest.mark.parametrize("name", ["GRADIO_ALLOWED_PATHS", "GRADIO_MCP_SERVER", "GRADIO_ROOT_PATH"])
def test_gradios_environment_opens_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/")
    app.prepare_environment()
    assert name not in os.environ
