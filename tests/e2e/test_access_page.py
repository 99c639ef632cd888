"""Everybody can use the page: axe-core finds nothing serious, a finger hits each button, pictures lie on each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from dreamgui.config import CompareJob, TrainJob
from tests.e2e.fake_page import SIZES, fake_page, opened

TABS = ("dataset", "convert", "train", "generate", "compare", "library", "control")
FINGER_PX = 44
BY_COLOUR = {"runOnly": ["color-contrast", "link-in-text-block"], "resultTypes": ["violations"]}
"""The rules that a theme's colours decide: all others see the same page in the dark."""
TOO_SMALL = """least => [...document.querySelectorAll(
    "#tabs button, #status-line :is(a, button), #tabs :is(a[href], input:not([type=hidden], [type=file], [type=range]), textarea)")]
  .filter(each => each.checkVisibility() && each.getBoundingClientRect().width > 2)
  .filter(each => !each.closest("[aria-hidden=true], .thumbnail-item"))
  .map(each => ["checkbox", "radio"].includes(each.type) ? each.closest("label") ?? each : each)
  .map(each => ["listbox", "combobox"].includes(each.getAttribute("role")) ? each.closest(".wrap-inner") : each)
  .filter(each => each.getBoundingClientRect().height < least - 0.5)
  .map(each => each.id || each.getAttribute("aria-label") || each.textContent.trim() || each.className)"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page on a workspace with a run and a comparison."""
    with fake_page(tmp_path_factory.mktemp("access")) as (url, services):
        services.jobs.submit(TrainJob(steps=2, sample_every=0, run="anna")).wait()
        services.jobs.submit(CompareJob(models=("portraits", "anna"), prompts=("a", "b"))).wait()
        yield url


def show(page: Page, tab: str) -> None:
    page.evaluate("tab => { location.hash = `#${tab}`; }", tab)
    expect(page.locator(f"#tab-{tab}")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious_on_any_tab(browser: Browser, url: str, dark: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found: list[tuple[str, str, str]] = []
    options = {"options": BY_COLOUR} if dark else {}
    with opened(browser, url, dark=dark) as page:
        for tab in TABS:
            show(page, tab)
            expect(page.locator("div.empty[aria-label]:not([role])")).to_have_count(0)
            for each in axe.run(page, **options).response["violations"]:
                if each["impact"] in ("serious", "critical"):
                    found += [(tab, each["id"], node["html"][:160]) for node in each["nodes"]]
    assert found == []


def test_the_sliders_two_pictures_lie_on_each_other(browser: Browser, url: str) -> None:
    with opened(browser, f"{url}#compare") as page:
        pictures = page.locator("#compare-slider img")
        expect(pictures).to_have_count(2)
        page.wait_for_function(
            """() => {
              const [first, second] = [...document.querySelectorAll("#compare-slider img")].map(
                image => image.getBoundingClientRect());
              return first.height > 100 && ["x", "y", "width", "height"].every(each => first[each] === second[each]);
            }"""
        )


def test_a_finger_hits_every_button_of_a_phone(browser: Browser, url: str) -> None:
    with opened(browser, url, "phone") as page:
        small = {}
        for tab in TABS:
            show(page, tab)
            small[tab] = page.evaluate(TOO_SMALL, FINGER_PX)
        assert small == {tab: [] for tab in TABS}


def test_arrow_keys_go_from_tab_to_tab(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        expect(page.locator("html.dg-opening")).to_have_count(0)
        page.locator("#tab-dataset-button").focus()
        for key, tab in (("ArrowRight", "convert"), ("End", "control"), ("ArrowRight", "dataset")):
            page.keyboard.press(key)
            expect(page.locator(f"#tab-{tab}")).to_be_visible()
            expect(page.locator(f"#tab-{tab}-button")).to_be_focused()
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#tab-control")).to_be_visible()


@pytest.mark.parametrize("size", SIZES)
def test_the_console_tells_of_no_error(browser: Browser, url: str, size: str) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    page.goto(url)
    expect(page.locator("html.dg-opening")).to_have_count(0)
    for tab in TABS:
        show(page, tab)
    assert told == []
    context.close()
