"""The page on fake recipes, with its looks and its script, for tests of the page alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dreamgui.jobs.job import Job
from dreamgui.services import Services
from dreamgui.ui.build import BEHIND_THE_GUARD, create_ui
from dreamgui.ui.theme import head, theme
from tests.e2e.conftest import free_port
from tests.ui.fakes import add_base, fake_services

MOST_LOOKS = 3_600
SIZES = {"desktop": (1280, 720), "phone": (390, 844)}


@contextmanager
def fake_page(root: Path, step_seconds: float = 0.01, base: bool = True) -> Iterator[tuple[str, Services]]:
    """Serve the page on a workspace, with one base model or none; yield its address and what it works on."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", str(root / "gradio"))
    patch.setenv("GRADIO_ANALYTICS_ENABLED", os.environ.get("GRADIO_ANALYTICS_ENABLED", "False"))
    services = fake_services(root / "work", step_seconds)
    if base:
        add_base(services.workspace)
    blocks = create_ui(services)
    _, url, _ = blocks.launch(
        server_name="127.0.0.1",
        server_port=free_port(),
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        run_history=False,
        theme=theme(),
        head=head(),
        footer_links=["api", "settings"],
        max_threads=600,
        show_error=False,
        app_kwargs={"middleware": BEHIND_THE_GUARD},
    )
    try:
        yield url, services
    finally:
        blocks.close(verbose=False)
        patch.undo()


@contextmanager
def opened(
    browser: Browser, url: str, size: str = "desktop", dark: bool = False, script: str = ""
) -> Iterator[Page]:
    """Open the page at a size, after a script of ours; its errors fail the test."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.add_init_script(script)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(url)
    expect(page.locator("#status-line .dg-dot")).to_be_visible()
    yield page
    context.close()
    assert faults == []


def started(page: Page, services: Services, kind: str) -> Job:
    """Press a form's button; the job that the page then submitted: what stands there may be an earlier one's."""
    earlier = services.jobs.latest(kind)
    page.locator(f"#{kind}-start").click()
    for _ in range(MOST_LOOKS):
        job = services.jobs.latest(kind)
        if job is not None and job is not earlier:
            return job
        time.sleep(0.05)
    raise AssertionError(f"no new {kind} job after the press")
