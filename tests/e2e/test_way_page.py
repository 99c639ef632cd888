"""The way through: addresses, titles, marks of the tabs, the next step of a finished job, the running job as a link."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from dreamgui.config import CropJob, TrainJob
from dreamgui.jobs.job import Job
from dreamgui.services import Services
from tests.e2e.fake_page import fake_page, opened
from tests.e2e.opening import open_group, open_tab

SLOW_STEP_SECONDS = 0.2


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Services]]:
    with fake_page(tmp_path_factory.mktemp("way"), SLOW_STEP_SECONDS) as served:
        yield served


def address(page: Page, place: str) -> None:
    expect(page).to_have_url(re.compile(rf"/#{place}$"))


def step_of(page: Page, tab: str) -> str | None:
    return page.locator(f"#tab-{tab}-button").get_attribute("data-step")


def test_a_finished_dataset_leads_to_train_with_it_chosen(
    browser: Browser, served: tuple[str, Services], tmp_path: Path
) -> None:
    photographs = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in photographs:
        Image.new("RGB", (200, 200), "#886644").save(path)
    with opened(browser, served[0]) as page:
        expect(page.locator("#tab-dataset-button")).to_have_attribute("data-step", "next")
        assert step_of(page, "convert") == "done"
        page.locator("#dataset-photos input[type=file]").set_input_files(photographs)
        expect(page.locator("#dataset-previews img")).to_have_count(2)
        # The person is asked for once, and every prompt follows.
        page.locator("#dataset-person input").fill("man")
        page.locator("#dataset-token").locator("input, textarea").fill("Anton Ray")
        prompt = "a photo of Anton Ray man face"
        expect(page.locator("#dataset-instance-prompt").locator("input, textarea")).to_have_value(prompt)
        page.locator("#dataset-crop").click()
        page.locator("#dataset-next").click()
        expect(page.locator("#train-start")).to_be_visible()
        expect(page.locator("#train-dataset input")).to_have_value("my-photos")
        open_group(page, "train-group-prompts")
        for field, followed in (("instance", prompt), ("class", "a photo of man face")):
            box = page.locator(f"#train-{field}-prompt").locator("input, textarea")
            expect(box).to_have_value(followed)
        address(page, "train")
        expect(page.locator("#tab-train-button")).to_have_attribute("data-step", "next")
        assert step_of(page, "dataset") == "done"


def test_the_running_job_is_a_link_and_in_the_title_and_back_goes_back(
    browser: Browser, served: tuple[str, Services]
) -> None:
    url, services = served
    job: Job = services.jobs.submit(TrainJob(steps=5000, sample_every=0))
    try:
        with opened(browser, f"{url}#compare") as page:
            expect(page.locator("#compare-start")).to_be_visible()
            expect(page).to_have_title(re.compile(r"^\d+ % Training · DreamGUI$"))
            page.locator("#status-line .dg-job").dispatch_event("click")
            expect(page.locator("#train-stop")).to_be_visible()
            address(page, "train")
            page.go_back()
            expect(page.locator("#compare-start")).to_be_visible()
            page.go_forward()
            expect(page.locator("#train-start")).to_be_visible()
            job.stop()
            expect(page).to_have_title("DreamGUI")
            expect(page.locator("#status-line")).to_contain_text("Ready")
    finally:
        job.stop()


def test_an_address_opens_an_item_on_a_phone_too(
    browser: Browser, served: tuple[str, Services], tmp_path: Path
) -> None:
    Image.new("RGB", (200, 200), "#886644").save(tmp_path / "c.png")
    served[1].jobs.submit(CropJob(photos=(tmp_path / "c.png",), dataset="shown")).wait()
    with opened(browser, f"{served[0]}#library/dataset/shown", "phone") as page:
        expect(page.locator("#library-chosen")).to_be_visible()
        expect(page.locator("#library-chosen")).to_contain_text("shown")
        open_tab(page, "Train")
        address(page, "train")
        page.go_back()
        expect(page.locator("#library-chosen")).to_be_visible()


def test_the_end_of_a_job_is_notified_on_request(browser: Browser, served: tuple[str, Services]) -> None:
    url, services = served
    stand_in = """globalThis.told = [];
    globalThis.Notification = class {
      constructor(title, options) { globalThis.told.push(options.body); }
      static async requestPermission() { return "granted"; }
    };
    Object.defineProperty(document, "hidden", {get: () => true});"""
    job = services.jobs.submit(TrainJob(steps=5000, sample_every=0))
    try:
        with opened(browser, url) as page:
            page.evaluate(stand_in)
            page.locator(".dg-bell").dispatch_event("click")
            expect(page.locator(".dg-bell")).to_have_attribute("aria-pressed", "true")
            job.stop()
            page.wait_for_function("globalThis.told.length")
            assert page.evaluate("globalThis.told") == ["Training was stopped."]
    finally:
        job.stop()


def test_on_a_phone_a_job_stands_above_its_form(browser: Browser, served: tuple[str, Services]) -> None:
    url, services = served
    job = services.jobs.submit(TrainJob(steps=5000, sample_every=0))
    try:
        with opened(browser, f"{url}#train", "phone") as page:
            card, form = page.locator("#train-progress [data-job]"), page.locator("#train-start")
            expect(card).to_be_visible()
            expect(form).to_be_attached()
            top = "field => field.getBoundingClientRect().top"
            assert card.evaluate(top) < form.evaluate(top)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    finally:
        job.stop()
