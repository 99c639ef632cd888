"""Settings are there again after a reload, for the same visitor alone; a page that is opened while a job runs is at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dreamgui.config import CropJob, TrainJob
from dreamgui.services import Services
from tests.e2e.fake_page import fake_page, opened
from tests.e2e.opening import drawn, open_tab

STORED = "prefix => JSON.parse(localStorage.getItem('dreamgui-settings') ?? '{}').forms?.[prefix]?.%s"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Services]]:
    with fake_page(tmp_path_factory.mktemp("kept"), step_seconds=0.1) as (url, services):
        services.jobs.submit(CropJob(photos=(Path("me.jpg"),), dataset="anna")).wait()
        services.jobs.submit(
            CropJob(photos=(Path("b.jpg"),), dataset="boris", instance_prompt="a photo of ohwx man face")
        ).wait()
        yield url, services


def choose(page: Page, field: str, name: str) -> None:
    page.locator(f"#{field} input").click()
    page.get_by_role("option", name=name, exact=True).click()


def kept(page: Page, prefix: str, field: str, value: object) -> None:
    """Wait until the browser keeps this value."""
    page.wait_for_function(f"([prefix, value]) => ({STORED % field})(prefix) === value", arg=[prefix, value])


def test_what_was_typed_is_there_after_a_reload(browser: Browser, served: tuple[str, Services]) -> None:
    with opened(browser, served[0]) as page:
        open_tab(page, "Train")
        expect(page.locator("#train-dataset input")).to_have_value("boris")
        choose(page, "train-dataset", "anna")
        page.locator("#train-method").get_by_role("radio", name="Whole UNet").check()
        expect(page.locator("#train-steps input")).to_have_value("300")
        page.locator("#train-steps input").fill("77")
        # A number out of range stays said: it comes back too.
        page.locator("#train-learning-rate input").fill("0")
        page.get_by_label("Find a setting").first.fill("prompt")
        drawn(page, page.locator("#train-sample-prompts"))
        page.locator("#train-sample-prompts textarea").fill("my own prompt")
        kept(page, "train", "sample_prompts", "my own prompt")
        open_tab(page, "Generate")
        page.locator("#generate-prompt textarea").fill("by the sea")
        kept(page, "generate", "prompt", "by the sea")
        page.reload()
        expect(page.locator("#generate-prompt textarea")).to_have_value("by the sea")
        open_tab(page, "Train")
        expect(page.locator("#train-steps input")).to_have_value("77")
        expect(page.locator("#train-learning-rate input")).to_have_value("0")
        expect(page.locator("#train-method input[value=unet]")).to_be_checked()
        expect(page.locator("#train-rank")).to_be_hidden()
        expect(page.locator("#train-dataset input")).to_have_value("anna")
        expect(page.locator("#train-changed")).to_contain_text("Training steps 77 recommended 300")
        page.get_by_label("Find a setting").first.fill("prompt")
        expect(page.locator("#train-sample-prompts textarea")).to_have_value("my own prompt")
        expect(page.locator("#train-instance-prompt textarea, #train-instance-prompt input")).to_have_value(
            re.compile("sks woman")
        )
        # What is reset stays reset.
        page.locator("#train-changed [data-reset=steps]").click()
        expect(page.locator("#train-steps input")).to_have_value("300")
        page.wait_for_function(f"prefix => ({STORED % 'steps'})(prefix) === undefined", arg="train")
        page.reload()
        expect(page.locator("#train-method input[value=unet]")).to_be_checked()
        expect(page.locator("#train-steps input")).to_have_value("300")


def test_a_page_that_is_opened_while_a_job_runs_is_at_it(
    browser: Browser, served: tuple[str, Services]
) -> None:
    url, services = served
    settings = TrainJob(model="portraits", dataset="anna", steps=5000, sample_every=0, seed=7, run="mine")
    job = services.jobs.submit(settings)
    try:
        with opened(browser, url) as page:
            expect(page.locator("#train-progress .dg-running")).to_be_visible()
            expect(page).to_have_url(re.compile("/#train$"))
            expect(page.locator("#train-steps input")).to_have_value("5000")
            expect(page.locator("#train-dataset input")).to_have_value("anna")
            page.get_by_label("Find a setting").first.fill("run name")
            expect(page.locator("#train-run").locator("input, textarea").first).to_have_value("mine")
        with opened(browser, f"{url}#compare") as page:
            expect(page.locator("#compare-start")).to_be_visible()
    finally:
        job.stop()
        job.wait()
