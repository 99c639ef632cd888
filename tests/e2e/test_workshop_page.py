"""A newcomer exports a model in the browser, sees its certificate and takes the file along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from safetensors import safe_open

from dreamgui.workspace import EXPORTS, Workspace
from tests.e2e.conftest import Server, running_app
from tests.e2e.opening import open_group
from tests.tiny import make_tiny_base

LONG = 90_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program where the bundle seems converted already; a model of random weights stands in for it."""
    home = tmp_path_factory.mktemp("home")
    make_tiny_base(Workspace(home), "portraits")
    with running_app(home) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Page:
    """The workshop, opened."""
    page = browser.new_page(viewport={"width": 1280, "height": 1200})
    page.set_default_timeout(90_000)
    page.goto(server.url)
    page.get_by_role("tab", name="Convert", exact=True).click()
    page.get_by_role("button", name="Workshop").click()
    return page


def open_section(page: Page, kind: str) -> None:
    open_group(page, f"{kind}-section")


def test_an_export_shows_its_certificate_and_is_downloaded(
    page: Page, server: Server, tmp_path: Path
) -> None:
    open_section(page, "export")
    page.locator("#export-start").click()
    expect(page.locator("#export-progress .dg-done")).to_be_visible(timeout=LONG)
    expect(page.locator("#export-result")).to_contain_text("passed")
    expect(page.locator("#export-result")).to_contain_text("from_single_file")
    with page.expect_download() as waiting:
        page.locator("#export-download").click()
    waiting.value.save_as(tmp_path / "taken.safetensors")
    with safe_open(tmp_path / "taken.safetensors", "pt") as file:
        assert any(key.startswith("cond_stage_model.") for key in file.keys())  # noqa: SIM118 - not a dict
    assert (server.home / EXPORTS / "portraits.certificate.json").is_file()


def test_a_token_is_drawn_and_rarer_ones_are_named(page: Page) -> None:
    open_section(page, "tokens")
    page.locator("#tokens-token textarea, #tokens-token input").first.fill("sks")
    page.locator("#tokens-start").click()
    expect(page.locator("#tokens-progress .dg-done")).to_be_visible(timeout=LONG)
    expect(page.locator("#tokens-progress")).to_contain_text("is one token")
    expect(page.locator("#tokens-pictures img").first).to_be_visible()
