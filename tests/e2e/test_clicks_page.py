"""On the true page, from nothing to a downloaded LoRA in seven presses, and to five generated pictures in two more.

What a visitor's browser kept of an earlier visit makes it short: two steps of training, few denoising steps.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dreamgui.models.files.header import read_header
from dreamgui.services import Services
from dreamgui.workspace import Workspace
from tests.e2e.conftest import HAS_BUNDLE, running_app
from tests.e2e.fake_page import SIZES, opened

MOST_TO_THE_FILE, MOST_TO_PICTURES = 7, 2
SHORT = {
    "train": {"steps": 2, "class_count": 2, "class_steps": 2, "batch_size": 1, "sample_every": 0},
    "generate": {"steps": 2},
}
KEPT = f"localStorage.setItem('dreamgui-settings', '{json.dumps({'visitor': 'visitor-', 'forms': SHORT})}');"


class Presses:
    """A user's presses on one page, counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = 0

    def press(self, place: str) -> None:
        """Press the button of this id, which must come by itself."""
        button = self.page.locator(f"#{place}")
        expect(button).to_be_enabled()
        button.click()
        self.count += 1


@pytest.mark.skipif(not HAS_BUNDLE, reason="the bundled demo model isn't in assets/demo")
@pytest.mark.parametrize("size", SIZES)
def test_a_lora_and_five_pictures_are_nine_presses_away(browser: Browser, tmp_path: Path, size: str) -> None:
    with running_app(tmp_path) as server, opened(browser, server.url, size, script=KEPT) as page:
        user = Presses(page)
        user.press("dataset-demo")
        expect(page.locator("#dataset-previews img").first).to_be_visible()
        user.press("dataset-crop")
        expect(page.locator("#dataset-next")).to_have_text("Next: prepare a model")
        expect(page.locator("#dataset-gallery img").first).to_be_visible()
        user.press("dataset-next")
        user.press("convert-start")
        user.press("convert-next")
        expect(page.locator("#train-model input")).to_have_value("portraits")
        expect(page.locator("#train-dataset input")).to_have_value("demo-person")
        expect(page.locator("#train-steps input")).to_have_value("2")
        user.press("train-start")
        with page.expect_download(timeout=180_000) as download:
            user.press("train-export")
        assert user.count <= MOST_TO_THE_FILE
        assert download.value.suggested_filename.endswith("-lora-kohya.safetensors")
        download.value.save_as(tmp_path / "lora.safetensors")
        assert all(name.startswith("lora_unet") for name in read_header(tmp_path / "lora.safetensors").shapes)
        before = user.count
        user.press("train-to-generate")
        [run] = Services(Workspace(tmp_path)).catalog.runs()
        expect(page.locator("#generate-model input")).to_have_value(run.name)
        user.press("generate-start")
        expect(page.locator("#results-gallery img")).to_have_count(5)
        assert user.count - before <= MOST_TO_PICTURES
        # The way goes on: the run beside its base.
        user.press("generate-next")
        expect(page.locator("#compare-start")).to_be_visible()
        expect(page.locator("#compare-models input:checked")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
