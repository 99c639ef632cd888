"""The program as a user starts it, and Debian's Chromium to look at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from dreamgui.assets import ASSETS
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base, make_tiny_controlnet

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HAS_BUNDLE = (ASSETS / "demo/photos").is_dir() and (ASSETS / "demo/card.json").is_file()
START_SECONDS = 180
# Playwright's own 5 seconds are too few for a machine that takes twice as long as others, and is training besides.
expect.set_options(timeout=180_000)


@dataclass(frozen=True)
class Server:
    """A running ``python app.py``: its address and its workspace."""

    url: str
    home: Path


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium; it ends with the block."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; without one the tests are skipped, or fail where DREAMGUI_REQUIRE_BROWSER=1."""
    if CHROMIUM is None:
        message = "No Chromium is installed (Debian: apt-get install chromium); the page isn't tested."
        if os.environ.get("DREAMGUI_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with chromium() as browser:
        yield browser


@contextmanager
def running_app(home: Path, port: int | None = None, threads: int = 1) -> Iterator[Server]:
    """Start ``python app.py`` on this workspace; it is ended when the block is left."""
    port = port or free_port()
    environment = {**os.environ, "DREAMGUI_HOME": str(home), "OMP_NUM_THREADS": str(threads)}
    environment.pop("GRADIO_TEMP_DIR", None)
    command = [sys.executable, "app.py", "--port", str(port), "--quiet"]
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for(url, process)
        yield Server(url, home)
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the page is served."""
    for _ in range(START_SECONDS * 10):
        assert process.poll() is None, "python app.py ended by itself; see server.log"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"no page at {url} after {START_SECONDS} s")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program on a fresh workspace; without the bundle a model of random weights stands in."""
    home = tmp_path_factory.mktemp("home")
    if not HAS_BUNDLE:
        base = make_tiny_base(Workspace(home), "portraits")
        for kind in ("canny", "pose"):
            make_tiny_controlnet(base, kind)
    with running_app(home) as running:
        yield running
