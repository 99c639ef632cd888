"""A sweep's queue in a browser, on a fake training that doesn't end by itself."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from dreamgui.config import CropJob
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
