"""Nothing jumps while the page opens, at a tab of its address and with a finished job: layout shift under 0.05.

Layout shift is the browser's own figure (CLS), 0 for none. All shifts until the page is open are added up.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from dreamgui.config import TrainJob
from tests.e2e.fake_page import SIZES, fake_page

LARGEST_SHIFT = 0.05
CARD = {
    "dataset": "#dataset-progress .dg-idle",
    "train": "#train-likeness .mark-line path",
    "library": "[data-item='run/anna']",
}
"""What a tab shows last as it opens."""
BUSY = 4
"""A browser that computes so many times as long, as beside a training: pieces of the page come late then."""
WATCH_SHIFTS = """globalThis.shifts = [];
const told = node => node?.nodeType === 1 ? node.id || node.closest("[id]")?.id || node.className : "text";
const take = list => shifts.push(...list.filter(each => !each.hadRecentInput).map(
  each => ({value: each.value, of: each.sources.map(source => told(source.node)).join(" ")})));
globalThis.watching = new PerformanceObserver(list => take(list.getEntries()));
watching.observe({type: "layout-shift", buffered: true});
globalThis.allShifts = () => { take(watching.takeRecords()); return shifts; };"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page on a workspace with a run."""
    with fake_page(tmp_path_factory.mktemp("steady")) as (url, services):
        services.jobs.submit(TrainJob(steps=4, sample_every=2, run="anna")).wait()
        yield url


@pytest.mark.parametrize(
    ("size", "tab", "slow"),
    [
        ("desktop", "dataset", 1),
        ("desktop", "train", 1),
        ("phone", "dataset", 1),
        ("phone", "train", BUSY),
        ("phone", "library", BUSY),
    ],
)
def test_nothing_jumps_as_the_page_opens(browser: Browser, url: str, size: str, tab: str, slow: int) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(90_000)
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slow})
    page.add_init_script(WATCH_SHIFTS)
    page.goto(f"{url}#{tab}")
    expect(page.locator("#status-line .dg-dot")).to_be_visible()
    expect(page.locator(f"#tab-{tab}")).to_be_visible()
    expect(page.locator("html.dg-opening")).to_have_count(0)
    expect(page.locator(CARD[tab]).first).to_be_visible()
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shifts = page.evaluate("allShifts()")
    context.close()
    assert sum(each["value"] for each in shifts) < LARGEST_SHIFT, shifts
