"""The queue in the page: what runs and waits, a change of places, a cancelled job, and the next one's turn."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from dreamgui.config import ConvertJob, TrainJob
from tests.e2e.fake_page import fake_page, opened

LONG_STEPS = 20_000


def test_waiting_jobs_change_places_and_are_cancelled(browser: Browser, tmp_path: Path) -> None:
    with fake_page(tmp_path, step_seconds=0.1) as (url, services):
        names = ("first", "second", "third")
        first, second, third = (
            services.jobs.submit(TrainJob(steps=LONG_STEPS, sample_every=0, run=name), behind=True)
            for name in names
        )
        try:
            with opened(browser, f"{url}#train") as page:
                rows = page.locator("#queue .dg-queue li")
                expect(rows).to_contain_text(list(names))
                expect(page.locator("#train-start")).to_have_text("Add to the queue")
                rows.nth(2).get_by_role("button", name="Earlier").click()
                expect(rows).to_contain_text(["first", "third", "second"])
                rows.nth(2).get_by_role("button", name="Cancel").click()
                expect(rows.filter(has_text="Waiting")).to_contain_text(["third"])
                assert second.wait() and second.state == "cancelled"
                first.stop()
                first.wait()
                expect(page.locator("#train-progress .dg-running")).to_be_visible()
                assert services.jobs.active() == [third]
        finally:
            for job in (first, second, third):
                job.stop()
            third.wait()


def test_a_failed_job_is_tried_again(browser: Browser, tmp_path: Path) -> None:
    with fake_page(tmp_path) as (url, services):
        failed = services.jobs.submit(ConvertJob(source="page.html", model="mine"))
        failed.wait()
        with opened(browser, url) as page:
            rows = page.locator("#queue .dg-queue li")
            expect(rows).to_contain_text(["Failed"])
            press = rows.first.get_by_role("button", name="Try again")
            expect(press).to_have_attribute("data-queue", f"again/{failed.id}")
            press.click()
            expect(press).not_to_have_attribute("data-queue", f"again/{failed.id}")
            again = services.jobs.latest("convert")
            assert again is not None and again is not failed and again.config == failed.config
            expect(rows).to_contain_text(["Failed"])
