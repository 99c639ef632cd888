"""A user comes back after a restart: an old run is opened, deleted by mistake, brought back, renamed and used again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dreamgui.library.items import items
from dreamgui.workspace import Workspace, write_json
from tests.e2e.conftest import Server, running_app
from tests.e2e.opening import open_group, open_tab
from tests.library.folders import (
    add_checkpoint,
    add_dataset,
    add_export,
    add_job,
    add_report,
    add_run,
    add_sample,
)
from tests.tiny import make_tiny_base

SIZES = {"desktop": (1280, 720), "phone": (390, 844)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program on a workspace in which somebody has worked before."""
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    make_tiny_base(workspace, "portraits")
    add_dataset(workspace)
    report = add_report(workspace)
    (report / "index.html").write_text(
        "<script>parent.document.title = 'seen'</script><h1>Our first report</h1>"
    )
    for name in ("anna-unet", "other"):
        change_settings(
            add_run(workspace, name), {"method": "unet", "steps": 77, "class_prompt": "a photo of somebody"}
        )
    add_checkpoint(workspace.root / "runs" / "other", 10)
    add_export(workspace)
    job = add_job(workspace, 1, "anna-unet", range(1, 30))
    add_sample(job, 20)
    with running_app(workspace.root) as running:
        yield running


def change_settings(run: Path, settings: dict[str, object]) -> None:
    card = json.loads((run / "run.json").read_bytes())
    write_json(run / "run.json", card | {"kind": "unet", "steps": 77, "job": card["job"] | settings})


@pytest.fixture(params=SIZES)
def page(browser: Browser, server: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The library, opened at two sizes."""
    width, height = SIZES[request.param]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(90_000)
    page.goto(server.url)
    expect(page.locator("#status-line .dg-dot")).to_be_visible()
    open_tab(page, "Library")
    expect(page.locator("[data-item='run/anna-unet'] img")).to_be_visible()
    yield page
    page.close()


def open_item(page: Page, key: str) -> None:
    page.locator(f"[data-item='{key}']").click()
    expect(page.locator(f"[data-shown='{key}']")).to_be_visible()


def test_after_a_restart_everything_is_two_presses_away(page: Page, server: Server) -> None:
    """The Library's tab is the first press. An item is the second one, for checkpoints their kind."""
    made = items(Workspace(server.home))
    assert {item.kind for item in made} == {"dataset", "base", "run", "checkpoint", "export", "report"}
    for item in made:
        if item.kind != "checkpoint":
            open_item(page, f"{item.kind}/{item.name}")
    page.locator("#library-kind").get_by_role("radio", name="Checkpoints").check()
    for item in made:
        if item.kind == "checkpoint":
            expect(page.locator(f"[data-item='checkpoint/{item.name}']")).to_be_visible()


def test_an_old_run_is_seen_whole(page: Page) -> None:
    open_item(page, "run/anna-unet")
    expect(page.locator("#library-loss").locator("svg, canvas").first).to_be_visible()
    expect(page.locator("#library-pictures img").first).to_be_visible()
    page.locator("#library-settings summary").first.click()
    expect(page.locator("#library-settings")).to_contain_text("a photo of somebody")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_report_is_read_and_runs_nothing(page: Page) -> None:
    title = page.title()
    open_item(page, "report/first")
    expect(page.frame_locator("iframe.dg-report").get_by_role("heading")).to_have_text("Our first report")
    assert page.title() == title


def test_a_deleted_run_is_brought_back(page: Page) -> None:
    open_item(page, "run/other")
    page.locator("#library-delete").click()
    expect(page.locator("[data-item='run/other']")).to_have_count(0)
    expect(page.locator("#library-chosen")).to_be_hidden()
    page.locator("#library-undo").click()
    expect(page.locator("[data-item='run/other']")).to_be_visible()
    expect(page.locator("#library-undo")).to_be_hidden()


def test_the_trash_restores(page: Page) -> None:
    open_item(page, "run/other")
    page.locator("#library-delete").click()
    expect(page.locator("[data-item='run/other']")).to_have_count(0)
    page.locator("#library-trash button").first.click()
    expect(page.locator("#library-deleted input")).to_have_value(re.compile("^Run other, "))
    page.locator("#library-restore").click()
    expect(page.locator("[data-item='run/other']")).to_be_visible()


def test_a_note_and_a_filter_find_a_run(page: Page) -> None:
    open_item(page, "run/anna-unet")
    open_group(page, "library-labels")
    page.locator("#library-note textarea").fill("the one to keep")
    page.locator("#library-save").click()
    expect(page.locator("#library-details")).to_contain_text("the one to keep")
    page.locator("#library-words").locator("input, textarea").first.fill("one to keep")
    expect(page.locator("[data-item]")).to_have_count(1)


def test_a_run_is_downloaded(page: Page) -> None:
    open_item(page, "run/anna-unet")
    with page.expect_download() as download:
        page.locator("#library-download").click()
    assert download.value.suggested_filename == "run-anna-unet.zip"


def test_its_settings_stay_as_they_were_trained(page: Page) -> None:
    """Neither the base's recommendations nor the dataset's prompts come over them."""
    open_item(page, "run/anna-unet")
    page.locator("#library-use").click()
    expect(page.locator("#train-start")).to_be_visible()
    steps = page.locator("#train-steps input").first
    expect(steps).to_have_value("77")
    expect(page.locator("#train-method input[value=unet]")).to_be_checked()
    open_tab(page, "Library")
    open_tab(page, "Train")
    expect(page.locator("#train-rank")).to_be_hidden()
    expect(steps).to_have_value("77")
