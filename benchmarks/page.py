"""``python -m benchmarks.page``: how fast the page opens on 200 runs and 500 pictures, idle and while a training runs.

Seconds are measured in the browser. The machine's load is stored beside them, as other programs slow the page down.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradio_client import Client
from PIL import Image
from playwright.sync_api import Browser, Page

from dreamgui.pictures.made import Made
from dreamgui.pictures.store import keep_picture
from dreamgui.workspace import Workspace, write_json
from tests.diffusion.made import make_dataset
from tests.e2e import conftest
from tests.e2e.conftest import chromium, running_app
from tests.library.folders import add_run
from tests.tiny import make_tiny_base

RESULTS = Path(__file__).parent / "results"
TABS = ("train", "compare", "generate", "convert", "dataset")
SIGNS = {
    "train": "#train-start",
    "compare": "#compare-start",
    "generate": "#generate-start",
    "convert": "#convert-start",
    "dataset": "#dataset-crop",
}
PRESS = """async ([button, sign]) => {
  const began = performance.now();
  document.querySelector(button).click();
  while (!document.querySelector(sign)?.checkVisibility()) await new Promise(requestAnimationFrame);
  return (performance.now() - began) / 1000;
}"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"


conftest.START_SECONDS = 900  # a loaded machine imports torch for minutes


def main() -> None:
    """Fill a workspace, open the page, measure, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--clicks", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fill(Workspace(Path(folder)), options.runs, options.pictures)
        with running_app(Path(folder)) as server, chromium() as browser:
            found = {"idle": measure(browser, server.url, options.clicks)}
            with _training(server.url):
                found["training"] = measure(browser, server.url, options.clicks)
    facts = {"runs": options.runs, "pictures": options.pictures, "cores": os.cpu_count()}
    write_json(RESULTS / "page.json", facts | found)
    print(facts | found)


def fill(workspace: Workspace, runs: int, pictures: int) -> None:
    """Put a base, a dataset, this many runs and this many pictures into a workspace."""
    make_tiny_base(workspace, "portraits")
    make_dataset(workspace)
    for number in range(runs):
        add_run(workspace, f"run-{number:03d}")
    for number in range(pictures):
        image = Image.new("RGB", (512, 512), f"hsl({number % 360},50%,50%)")
        made = Made(f"a photo number {number}", "", 20, "dpm++", 5.0, number, (512, 512), "portraits")
        keep_picture(workspace, image, made, {"model": "portraits"}, {})


def measure(browser: Browser, url: str, clicks: int) -> dict[str, Any]:
    """Return seconds to the first paint, to a tab that answers, to runs and pictures in the library, and of clicks."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(120_000)
    load = os.getloadavg()[0]
    page.goto(url, wait_until="commit")
    page.wait_for_function("document.querySelector('#tab-train-button')?.checkVisibility()")
    _press(page, "#tab-train-button", "#train-start")
    usable = page.evaluate("performance.now() / 1000")
    found = {
        "first_paint_s": page.evaluate(PAINT),
        "tab_usable_s": usable,
        "library_of_runs_s": _press(page, "#tab-library-button", "[data-item^='run/'] img"),
        "library_of_pictures_s": _press(
            page, "#library-kind label:last-child input", "[data-item^='picture/'] img"
        ),
    }
    seconds = sorted(_clicks(page, clicks))
    page.close()
    return {
        **{name: round(value, 3) for name, value in found.items()},
        "click_median_s": round(statistics.median(seconds), 3),
        "click_95th_s": round(seconds[int(0.95 * (len(seconds) - 1))], 3),
        "load_average": round(load, 1),
    }


def _clicks(page: Page, count: int) -> Iterator[float]:
    for number in range(count):
        tab = TABS[number % len(TABS)]
        yield _press(page, f"#tab-{tab}-button", SIGNS[tab])


def _press(page: Page, button: str, sign: str) -> float:
    return float(page.evaluate(PRESS, [button, sign]))


@contextmanager
def _training(url: str) -> Iterator[None]:
    """Train the tiny model meanwhile."""
    app = Client(url, verbose=False)
    running = app.submit(dataset="anna", model="portraits", steps=20000, sample_every=0, api_name="/train")
    _until(lambda: any(job["state"] == "running" for job in app.predict(api_name="/status")["jobs"]))
    yield
    app.predict(kind="train", api_name="/stop")
    running.result()


def _until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.5)


if __name__ == "__main__":
    main()
