"""Tabs and groups, opened as a user opens them: what stands there may be typed over once it has been drawn.

When Gradio shows fields for the first time, it puts their values in once more a frame later. A test types within that
frame; nobody else does.
"""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

FRAMES = """() => new Promise(done => {
  const look = left => left ? requestAnimationFrame(() => look(left - 1)) : setTimeout(done);
  look(3);
})"""


def open_tab(page: Page, name: str) -> None:
    """Press a tab, behind the menu of those that have no room where it stands there."""
    # Until the first answers have come the tabs aren't shown.
    expect(page.locator("html.dg-opening")).to_have_count(0)
    expect(page.locator("[role=tab]:visible").first).to_be_visible()
    tab = page.get_by_role("tab", name=name, exact=True).first
    if not tab.is_visible():
        page.locator(".overflow-menu > button").click()
        tab = page.locator(".overflow-dropdown").get_by_text(name, exact=True)
    tab.click()
    drawn(page, page.locator("[role=tabpanel]:visible"))


def open_group(page: Page, elem_id: str) -> Locator:
    """Open a closed group by its title; return it."""
    group = page.locator(f"#{elem_id}")
    group.locator("button").first.click()
    drawn(page, group)
    return group


def drawn(page: Page, place: Locator) -> None:
    """Wait until a place that was opened shows something, and has got its values."""
    expect(place.locator("button, input, textarea, img").first).to_be_visible()
    page.evaluate(FRAMES)
