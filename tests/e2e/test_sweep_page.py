"""A sweep's queue in a browser, on a fake training that doesn't end by itself."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from dreamgui.config import CropJob, SweepJob, TrainJob
from tests.e2e.fake_page import fake_page, opened
from tests.e2e.opening import open_group, open_tab
from tests.ui.fakes import picture


def test_the_last_training_is_left_out_while_the_first_runs(browser: Browser, tmp_path: Path) -> None:
    with fake_page(tmp_path, step_seconds=0.1) as (url, services):
        picture("anna", size_px=200).save(tmp_path / "anna.png")
        services.jobs.submit(CropJob(photos=(tmp_path / "anna.png",), dataset="anna")).wait()
        with opened(browser, url) as page:
            open_tab(page, "Train")
            expect(page.locator("#train-model input")).to_have_value("portraits")
            page.locator("#train-steps input").fill("20000")
            open_group(page, "sweep-section")
            page.locator("#sweep-ranks").locator("input, textarea").fill("2, 4")
            page.locator("#sweep-learning-rates").locator("input, textarea").fill("1e-3")
            page.locator("#sweep-with-unet input").check()
            page.locator("#sweep-start").click()
            rows = page.locator("#sweep-table tbody tr")
            expect(rows).to_have_count(3)
            page.locator("#sweep-run input").click()
            page.get_by_role("option", name="unet").click()
            expect(page.locator("#sweep-run input")).to_have_value("unet")
            page.locator("#sweep-skip").click()
            expect(rows.filter(has_text="skipped")).to_contain_text("unet")
            expect(rows.filter(has_text="waiting")).to_have_count(1)
            job = services.jobs.current("sweep")
            assert job is not None
            job.stop()
            job.wait()


def test_a_finished_sweep_heads_its_tab_with_pictures_report_and_the_way_on(
    browser: Browser, tmp_path: Path
) -> None:
    with fake_page(tmp_path) as (url, services):
        services.jobs.submit(TrainJob(steps=2, sample_every=0, run="anna")).wait()
        job = SweepJob(
            steps=2, sample_every=0, ranks=(2, 4), learning_rates=(1e-3,), prompts=("a", "b"), report="grid"
        )
        services.jobs.submit(job).wait()
        with opened(browser, f"{url}#train") as page:
            card = page.locator("#sweep-progress .dg-done")
            expect(card).to_be_visible()
            top = "element => element.getBoundingClientRect().top"
            assert card.evaluate(top) < page.locator("#train-progress .dg-card").evaluate(top)
            expect(page.locator("#sweep-pictures img")).to_have_count(4)
            with page.expect_download() as download:
                page.locator("#sweep-download").click()
            assert download.value.suggested_filename == "grid.zip"
            page.locator("#sweep-to-compare").click()
            expect(page.locator("#compare-start")).to_be_visible()
            for name in ("portraits", "grid-r2-lr0.001", "grid-r4-lr0.001"):
                expect(page.locator("#compare-models").get_by_label(name, exact=True)).to_be_checked()
            expect(page.locator("#compare-models").get_by_label("anna", exact=True)).not_to_be_checked()
            # A training that follows takes its place.
            services.jobs.submit(TrainJob(steps=2, sample_every=0, run="berta")).wait()
            open_tab(page, "Train")
            expect(page.locator("#train-progress .dg-done")).to_be_visible()
            expect(page.locator("#sweep-results")).to_be_hidden()


def test_a_sweep_proposes_the_rates_that_the_base_recommends(browser: Browser, tmp_path: Path) -> None:
    with fake_page(tmp_path) as (url, _), opened(browser, f"{url}#train") as page:
        expect(page.locator("#train-model input")).to_have_value("portraits")
        open_group(page, "sweep-section")
        expect(page.locator("#sweep-learning-rates").locator("input, textarea")).to_have_value("0.001")
        expect(page.locator("#sweep-unet-learning-rate input")).to_have_value("0.00005")
