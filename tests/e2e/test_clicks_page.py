"""From an empty page to a downloaded LoRA in seven presses, and to five generated pictures in two more, at both sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from dreamgui.services import Services
from tests.e2e.conftest import HAS_BUNDLE
from tests.e2e.fake_page import SIZES, fake_page, opened

MOST_TO_THE_FILE, MOST_TO_PICTURES = 7, 2


class Presses:
    """A user's presses on one page, counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = 0

    def press(self, place: str) -> None:
        """Press the button of this id, which must be there by itself."""
        self.page.locator(f"#{place}").click()
        self.count += 1


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Services]]:
    with fake_page(tmp_path, base=False) as served:
        yield served


def give_photographs(user: Presses, folder: Path) -> None:
    if HAS_BUNDLE:
        user.press("dataset-demo")
        return
    photographs = [folder / "a.png", folder / "b.png"]
    for path in photographs:
        Image.new("RGB", (200, 200), "#886644").save(path)
    user.page.locator("#dataset-photos input[type=file]").set_input_files(photographs)
    user.count += 1


@pytest.mark.parametrize("size", SIZES)
def test_a_lora_and_five_pictures_are_nine_presses_away(
    browser: Browser, served: tuple[str, Services], tmp_path: Path, size: str
) -> None:
    url, services = served
    with opened(browser, url, size) as page:
        user = Presses(page)
        give_photographs(user, tmp_path)
        expect(page.locator("#dataset-previews img").first).to_be_visible()
        user.press("dataset-crop")
        expect(page.locator("#dataset-next")).to_have_text("Next: prepare a model")
        user.press("dataset-next")
        user.press("convert-start")
        user.press("convert-next")
        expect(page.locator("#train-model input")).to_have_value("portraits")
        expect(page.locator("#train-dataset input")).to_have_value(services.workspace.names("datasets")[0])
        expect(page.locator("#train-steps input")).to_have_value("400")
        user.press("train-start")
        with page.expect_download() as download:
            user.press("train-export")
        assert download.value.suggested_filename.endswith("-lora-kohya.safetensors")
        assert user.count <= MOST_TO_THE_FILE
        before = user.count
        user.press("train-to-generate")
        run = services.catalog.runs()[0].name
        expect(page.locator("#generate-model input")).to_have_value(run)
        user.press("generate-start")
        expect(page.locator("#results-gallery img")).to_have_count(5)
        assert user.count - before <= MOST_TO_PICTURES
        # The way goes on: the run beside its base.
        user.press("generate-next")
        expect(page.locator("#compare-start")).to_be_visible()
        expect(page.locator("#compare-models input:checked")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
