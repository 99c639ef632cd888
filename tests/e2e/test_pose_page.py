"""Points of a skeleton are dragged, moved by keys, mirrored and taken away in a browser; the job gets them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from dreamgui.workspace import Workspace
from tests.e2e.conftest import HAS_BUNDLE, Server
from tests.e2e.opening import open_group, open_tab
from tests.e2e.test_page import done, opened

WRIST, OTHER_WRIST = 'circle[data-point="4"]', 'circle[data-point="7"]'


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with opened(browser, server) as page:
        yield page


def place(page: Page, selector: str) -> tuple[float, float]:
    point = page.locator(f"#control-pose {selector}")
    return float(point.get_attribute("cx") or "nan"), float(point.get_attribute("cy") or "nan")


def dragged(page: Page, selector: str, x: float, y: float) -> None:
    """Drag a point by these shares of the board's width and height."""
    page.locator("#control-pose svg").scroll_into_view_if_needed()
    board = page.locator("#control-pose svg").bounding_box()
    box = page.locator(f"#control-pose {selector}").bounding_box()
    assert board and box
    start = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + x * board["width"] / 2, start[1] + y * board["height"] / 2)
    page.mouse.move(start[0] + x * board["width"], start[1] + y * board["height"])
    page.mouse.up()


def test_a_pose_is_edited_and_generated(page: Page, server: Server) -> None:
    if HAS_BUNDLE and not Workspace(server.home).names("models"):
        open_tab(page, "Convert")
        page.locator("#convert-start").click()
        done(page, "convert")
    open_tab(page, "ControlNet")
    page.locator("#control-models").get_by_role("checkbox").first.check()
    page.locator("#control-control").get_by_text("Pose", exact=True).click()
    open_group(page, "control-pose-points")
    page.locator("#control-pose").get_by_role("button", name="Add person").click()
    expect(page.locator("#control-pose circle")).to_have_count(18)
    expect(page.locator("#control-map img")).to_be_visible()

    before = place(page, WRIST)
    dragged(page, WRIST, -0.2, -0.3)
    after = place(page, WRIST)
    assert abs(after[0] - before[0] + 200) < 15 and abs(after[1] - before[1] + 300) < 15
    page.locator(f"#control-pose {WRIST}").press("ArrowRight")
    assert round(place(page, WRIST)[0] - after[0]) == 10
    page.locator(f"#control-pose {WRIST}").press("Shift+ArrowUp")
    assert round(after[1] - place(page, WRIST)[1]) == 50

    wrist = place(page, WRIST)
    page.locator("#control-pose").get_by_role("button", name="Mirror").click()
    turned = place(page, OTHER_WRIST)
    assert round(turned[0]) == round(1000 - wrist[0]) and turned[1] == wrist[1]
    page.locator(f"#control-pose {OTHER_WRIST}").press("Delete")
    expect(page.locator("#control-pose circle")).to_have_count(17)
    page.locator("#control-pose").get_by_role("button", name="Add point").click()
    expect(page.locator("#control-pose circle")).to_have_count(18)
    page.locator("#control-pose").get_by_role("button", name="Add person").click()
    expect(page.locator("#control-pose circle")).to_have_count(36)

    open_group(page, "control-group-sampling")
    page.locator("#control-steps input[type=number]").fill("2")
    page.locator("#control-start").click()
    done(page, "control")
    expect(page.locator("#control-gallery")).to_contain_text("pose map")
    [job] = (server.home / "jobs").glob("*-control-*/job.json")
    assert [len(person) for person in json.loads(_pose(json.loads(job.read_text())))] == [18, 18]

    page.locator("#control-pose").get_by_role("button", name="Blank board").click()
    expect(page.locator("#control-pose circle")).to_have_count(0)
    page.locator("#control-start").click()
    expect(page.locator("#control-progress")).to_contain_text("blank board")


def _pose(data: dict[str, object]) -> str:
    """The pose's text, wherever job.json holds the given fields."""
    found = data.get("pose") or next(
        value["pose"] for value in data.values() if isinstance(value, dict) and "pose" in value
    )
    assert isinstance(found, str)
    return found
