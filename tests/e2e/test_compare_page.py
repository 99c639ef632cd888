"""A comparison in the page, on fakes: a grid, one more model, the slider, a vote, two reports, one kept, the zip, once more."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from dreamgui.config import CompareJob, CropJob, KeepJob
from dreamgui.models.catalog.cards import RunCard
from dreamgui.models.catalog.catalog import write_run
from dreamgui.services import Services
from tests.e2e.fake_page import fake_page, opened, started
from tests.e2e.opening import open_group, open_tab


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Services]]:
    with fake_page(tmp_path_factory.mktemp("compare"), step_seconds=0.0) as (url, services):
        list(services.jobs.submit(CropJob(photos=(Path("me.jpg"),), dataset="my-photos")).follow())
        for name in ("anna", "berta"):
            card = RunCard(
                name=name, kind="lora", base="portraits", rank=4, alpha=4, learning_rate=1e-4, steps=10, finished=True
            )  # fmt: skip
            folder = services.workspace.place("runs", name)
            folder.mkdir(parents=True)
            write_run(folder, card)
        yield url, services


@pytest.fixture(scope="module")
def page(browser: Browser, served: tuple[str, Services]) -> Iterator[Page]:
    with opened(browser, served[0]) as page:
        open_tab(page, "Compare")
        yield page


def compared(page: Page, services: Services, pictures: int) -> CompareJob:
    """Press Compare; the job's settings, once the grid has so many pictures."""
    job = started(page, services, "compare")
    expect(page.locator("#compare-grid img")).to_have_count(pictures)
    expect(page.locator("#compare-stop")).to_be_hidden()
    assert isinstance(job.config, CompareJob)
    return job.config


def chosen(page: Page, name: str) -> Locator:
    box = page.locator("#compare-models label", has_text=name).locator("input")
    box.check()
    return box


def option(page: Page, field: str, name: str) -> None:
    page.locator(f"#{field} input").click()
    page.get_by_role("option", name=name, exact=False).first.click()


def test_from_a_grid_to_a_kept_model(page: Page, served: tuple[str, Services], tmp_path: Path) -> None:
    services = served[1]
    for name in ("portraits", "anna"):
        chosen(page, name)
    page.locator("#compare-prompts textarea").fill("a photo in a wood\na photo by the sea")
    page.locator("#compare-seeds input[type=number]").fill("2")
    open_group(page, "compare-group-axes")
    page.locator("#compare-strengths textarea").fill("0.8")
    first = compared(page, services, 4)
    assert (first.models, first.seeds, first.strengths) == (("portraits", "anna"), 2, (0.8,))

    chosen(page, "berta")
    assert compared(page, services, 6).models == ("portraits", "anna", "berta")

    # The slider's pictures are another seed's.
    left = page.locator("#compare-slider img").first
    shown = left.get_attribute("src")
    page.locator("#compare-pair-seed input[type=number]").fill("2")
    page.locator("#compare-pair-seed input[type=number]").press("Enter")
    expect(left).not_to_have_attribute("src", str(shown))

    # A vote over four pairs, without names, with its interval.
    page.locator("#compare-vote button").first.click()
    page.locator("#compare-vote-start").click()
    for left_over in (4, 3, 2, 1):
        result = page.locator("#compare-vote-result")
        expect(result).to_contain_text("1 pair left" if left_over == 1 else f"{left_over} pairs left")
        expect(result).not_to_contain_text("berta")
        page.locator("#compare-vote-left").click()
    expect(page.locator("#compare-vote-result")).to_contain_text("of 4 pairs")

    # The two reports differ in their models.
    page.locator("#compare-reports button").first.click()
    expect(page.locator("#compare-reports-found")).to_contain_text("portraits, anna, berta")
    expect(page.locator("#compare-reports-found")).to_contain_text("not compared")

    # The suggested row becomes a run.
    expect(page.locator("#compare-keep-row input")).to_have_value("berta (suggested)")
    kept = started(page, services, "keep")
    expect(page.locator("#keep-progress")).to_contain_text("Done")
    assert isinstance(kept.config, KeepJob)
    assert (kept.config.model, kept.config.strength) == ("berta", 0.8)

    # The report as a zip, and once more from its settings.
    with page.expect_download() as download:
        page.locator("#compare-download").click()
    download.value.save_as(tmp_path / "report.zip")
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        assert any(name.endswith("report.json") for name in archive.namelist())
    report = services.workspace.names("reports")[-1]
    open_group(page, "compare-group-report")
    page.locator("#compare-from- textarea, #compare-from- input").first.fill(report)
    assert compared(page, services, 6).from_ == Path(report)


def test_a_cell_is_enlarged_and_the_focus_comes_back(browser: Browser, served: tuple[str, Services]) -> None:
    url, services = served
    # The test before may have left a comparison that runs.
    services.jobs.submit(CompareJob(models=("portraits", "anna"), prompts=("a", "b")), behind=True).wait()
    for size, dark in (("desktop", False), ("phone", True)):
        with opened(browser, f"{url}#compare", size, dark) as page:
            cell = page.locator("#compare-grid [data-cell='1']")
            cell.click()
            picture = page.locator("#compare-enlarged dialog[open] img")
            expect(picture).to_be_visible()
            page.wait_for_function("image => image.naturalWidth === 128", arg=picture.element_handle())
            assert picture.evaluate("image => image.width") > cell.evaluate("button => button.clientWidth")
            page.keyboard.press("Escape")
            expect(picture).to_be_hidden()
            expect(cell).to_be_focused()
            page.locator("#compare-grid [data-cell='2']").press("Enter")
            expect(page.locator("#compare-enlarged dialog[open]")).to_contain_text("anna, seed 0: a")
            page.locator("#compare-enlarged button").click()
            expect(picture).to_be_hidden()
            page.locator("#compare-next").click()
            expect(page.locator("#generate-model input")).to_have_value("anna")
