"""The Generate tab on fake recipes: a mask is painted, a picture's settings come back, and it goes on to other tabs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from dreamgui.config import GenerateJob
from dreamgui.pictures.store import read_picture
from dreamgui.services import Services
from tests.e2e.fake_page import fake_page, opened
from tests.e2e.opening import open_group, open_tab

Served = tuple[str, Services]
SEED = "#generate-seed input"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with fake_page(tmp_path_factory.mktemp("generate")) as served:
        yield served


@pytest.fixture(scope="module")
def page(browser: Browser, served: Served) -> Iterator[Page]:
    with opened(browser, served[0]) as page:
        open_tab(page, "Generate")
        expect(page.locator("#generate-model input")).not_to_have_value("")
        yield page


def generated(page: Page, services: Services, seed: int, count: int = 1) -> GenerateJob:
    """Generate pictures from this seed on, one that no job had yet, and wait for the last; return the job."""
    page.locator(SEED).fill(str(seed))
    page.locator("#generate-start").click()
    expect(page.locator("#results-gallery")).to_contain_text(f"seed {seed + count - 1}")
    expect(page.locator("#generate-progress .dg-done")).to_be_visible()
    job = services.jobs.current("generate")
    assert job is not None and isinstance(job.config, GenerateJob) and job.config.seed == seed
    return job.config


def stroke(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw a line between two places, shares of the picture's width and height."""
    canvas = page.locator("#generate-paint canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    for place, act in ((start, page.mouse.down), (end, page.mouse.up)):
        page.mouse.move(box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"])
        act()


def test_a_painted_mask_goes_with_the_start_image(page: Page, served: Served, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "start.png")
    start = open_group(page, "generate-group-start-image")
    expect(page.locator("#generate-paint")).to_contain_text("Add a start image")
    start.locator("#generate-image input[type=file]").set_input_files(tmp_path / "start.png")
    expect(page.locator("#generate-paint img")).to_be_visible()
    stroke(page, (0.1, 0.25), (0.4, 0.25))
    shown = page.locator("#generate-mask img")
    expect(shown).to_be_visible()
    first = shown.get_attribute("src") or ""
    stroke(page, (0.7, 0.8), (0.9, 0.8))
    expect(shown).not_to_have_attribute("src", first)
    page.locator("#generate-paint").get_by_role("button", name="Undo stroke").click()
    expect(shown).to_have_attribute("src", first)

    job = generated(page, served[1], 11)
    assert job.image is not None and job.mask is not None
    with Image.open(job.mask) as image:
        mask = np.asarray(image)
    assert mask.shape == (200, 300)
    assert mask[50, 45] == mask[50, 105] == 255 and not mask[140:].any() and not mask[:, 200:].any()

    page.locator("#generate-paint").get_by_role("button", name="Invert").click()
    expect(shown).not_to_have_attribute("src", first)
    page.locator("#generate-paint").get_by_role("button", name="Clear").click()
    expect(shown).to_have_count(0)
    assert generated(page, served[1], 12).mask is None


def test_a_picture_comes_back_and_goes_on(page: Page, served: Served, tmp_path: Path) -> None:
    """Generate with a face pass, take its seed, drop the file back, and send it to each tab."""
    page.locator("#generate-prompt textarea").fill("a photo of {token} on the moon")
    open_group(page, "generate-group-faces").get_by_role("checkbox").check()
    page.locator("#generate-count input[type=number]").fill("2")
    assert generated(page, served[1], 41, 2).face_pass
    expect(page.locator("#results-gallery")).to_contain_text("before the face pass")
    page.locator("#generate-random-seed").click()
    expect(page.locator(SEED)).to_have_value("-1")
    page.locator("#generate-keep-seed").click()
    expect(page.locator(SEED)).to_have_value("42")
    page.locator("#results-gallery button.thumbnail-item").nth(3).click()
    expect(page.locator("#results-details")).to_contain_text("Seed: 42")
    expect(page.locator("#results-details")).to_contain_text("likeness before 0.40")
    page.locator("#results-use").click()
    expect(page.locator(SEED)).to_have_value("42")

    with page.expect_download() as download:
        page.locator("#results-download").click()
    download.value.save_as(tmp_path / "picture.png")
    assert read_picture(tmp_path / "picture.png").made.seed == 42
    page.locator(SEED).fill("1")
    open_group(page, "generate-from-file").locator("input[type=file]").set_input_files(
        tmp_path / "picture.png"
    )
    expect(page.locator(SEED)).to_have_value("42")

    page.locator("#results-start-image").click()
    expect(page.locator("#generate-image img")).to_be_visible()
    expect(page.locator("#generate-paint img")).to_be_visible()

    page.locator("#results-compare").click()
    expect(page.locator("#compare-prompts textarea")).to_have_value("a photo of {token} on the moon")
    expect(page.locator("#compare-seed input")).to_have_value("42")
    expect(page.locator("#compare-models").get_by_role("checkbox").first).to_be_checked()

    open_tab(page, "Generate")
    page.locator("#results-control").click()
    expect(page.locator("#control-image img")).to_be_visible()
    expect(page.locator("#control-prompt textarea")).to_have_value("a photo of {token} on the moon")
    expect(page.locator("#control-seed input")).to_have_value("42")
