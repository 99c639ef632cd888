"""Pictures of the tabs for the README, from the page as it is, after real work on the bundled demo.

    python tools/screenshots.py [--home DIR] [--out DIR] [--steps 150] [--tabs generate control]

Starts the app on a fresh workspace, crops the demo's photographs, converts its model, trains a LoRA and the
whole UNet as recommended, generates, compares them, generates with ControlNet; each tab is photographed when its work is
done: wide and as narrow as a telephone, light and dark. About eight minutes on two cores, less with fewer
``--steps``; with ``--home`` a workspace where this was done is only photographed.
Needs Chromium (requirements-dev.txt has Playwright).
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.conftest import CHROMIUM, running_app

OUT = ROOT / "docs" / "img"
MOST_MS = 900_000
COLOURS = 128
WIDE: ViewportSize = {"width": 1280, "height": 720}
NARROW: ViewportSize = {"width": 390, "height": 844}
TABS = {
    "dataset": "Dataset",
    "convert": "Convert",
    "train": "Train",
    "generate": "Generate",
    "compare": "Compare",
    "control": "ControlNet",
    "library": "Library",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="a workspace where all of it was done before")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--steps", type=int, help="of each training, in place of what is recommended")
    parser.add_argument("--tabs", nargs="+", choices=TABS, default=list(TABS), help="those to photograph")
    options = parser.parse_args()
    work = WORK | {"train": partial(train, steps=options.steps)}
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        with running_app(options.home or Path(scratch), threads=os.cpu_count() or 1) as server:
            page = browser.new_page(viewport=WIDE)
            page.set_default_timeout(30_000)
            page.goto(f"{server.url}?__theme=light")
            expect(page.locator("#title")).to_be_visible()
            page.wait_for_timeout(3000)
            for name, title in TABS.items():
                page.get_by_role("tab", name=title, exact=True).click()
                page.wait_for_timeout(3000)
                if not options.home:
                    work[name](page)
                if name in options.tabs:
                    photograph(page, options.out, name)
        browser.close()


def photograph(page: Page, out: Path, name: str) -> None:
    """The tab as it is now, in both sizes and both themes."""
    for ending, size in (("", WIDE), ("-narrow", NARROW)):
        page.set_viewport_size(size)
        for theme in ("", "-dark"):
            page.evaluate("on => document.body.classList.toggle('dark', on)", bool(theme))
            page.wait_for_timeout(1500)
            keep(page.screenshot(full_page=True), out / f"{name}{ending}{theme}.png")
    page.set_viewport_size(WIDE)
    page.evaluate("() => document.body.classList.remove('dark')")


def crop(page: Page) -> None:
    page.locator("#dataset-demo").click()
    expect(page.locator("#dataset-photos")).to_contain_text(".jpg")
    start(page, "dataset", "#dataset-crop")
    page.locator("#dataset-gallery button.thumbnail-item").nth(3).click()


def convert(page: Page) -> None:
    start(page, "convert", "#convert-start")


def train(page: Page, steps: int | None = None) -> None:
    """The LoRA first: what stays to be seen is the whole UNet."""
    choose_steps(page, steps)
    start(page, "train", "#train-start")
    page.locator("#train-method").get_by_text("Whole UNet").click()
    page.wait_for_timeout(3000)
    choose_steps(page, steps)
    page.locator("#train-start").click()
    expect(page.locator("#train-progress .dg-running")).to_be_visible(timeout=MOST_MS)
    finished(page, "train")


def generate(page: Page) -> None:
    page.locator("#generate-count input[type=number]").fill("4")
    page.locator("#generate-seed input").fill("11")
    start(page, "generate", "#generate-start")
    page.locator("#kept button").first.click()
    page.wait_for_timeout(3000)
    page.locator("#kept-gallery button.thumbnail-item").first.click()


def library(page: Page) -> None:
    page.locator("#library-grid [data-item^=run]").first.click()


def compare(page: Page) -> None:
    tick_all(page, "compare-models")
    start(page, "compare", "#compare-start")


def control(page: Page) -> None:
    page.get_by_text("Use a demo photograph").click()
    page.wait_for_timeout(3000)
    tick_all(page, "control-models")
    start(page, "control", "#control-start")


WORK: dict[str, Callable[[Page], None]] = {
    "dataset": crop,
    "convert": convert,
    "train": train,
    "generate": generate,
    "compare": compare,
    "control": control,
    "library": library,
}


def choose_steps(page: Page, steps: int | None) -> None:
    if steps:
        field = page.locator("#train-steps input").first
        field.fill(str(steps))
        field.press("Tab")
        page.wait_for_timeout(1000)


def tick_all(page: Page, group: str) -> None:
    for box in page.locator(f"#{group} input[type=checkbox]").all():
        box.check()


def start(page: Page, prefix: str, button: str) -> None:
    page.locator(button).click()
    finished(page, prefix)


def finished(page: Page, prefix: str) -> None:
    expect(page.locator(f"#{prefix}-progress .dg-done")).to_be_visible(timeout=MOST_MS)


def keep(picture: bytes, file: Path) -> None:
    """A small PNG: a README is read on a telephone too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file} {image.size} {file.stat().st_size / 1024:.0f} KiB", flush=True)


if __name__ == "__main__":
    main()
