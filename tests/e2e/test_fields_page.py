"""The Train tab's many fields: found by a word, marked and reset where not as recommended, filled in by presets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dreamgui.presets.files import read_preset
from tests.e2e.fake_page import fake_page, opened
from tests.e2e.opening import drawn, open_group, open_tab
from tests.presets.test_presets import GUI


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fake_page(tmp_path_factory.mktemp("fields")) as (url, _):
        yield url


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The Train tab with the recommended values in its fields."""
    with opened(browser, url) as page:
        open_tab(page, "Train")
        expect(page.locator("#train-steps input")).to_have_value("400")
        yield page


def test_a_field_that_is_not_as_recommended_is_marked_and_reset(page: Page) -> None:
    changed = page.locator("#train-changed .dg-chip")
    expect(changed).to_have_count(0)
    page.locator("#train-steps input").fill("77")
    expect(changed).to_have_count(1)
    expect(changed).to_contain_text("Training steps 77 recommended 400")
    mark = "field => getComputedStyle(field).boxShadow"
    assert "inset" in page.locator("#train-steps").evaluate(mark)
    changed.click()
    expect(page.locator("#train-steps input")).to_have_value("400")
    expect(changed).to_have_count(0)
    assert "inset" not in page.locator("#train-steps").evaluate(mark)


def test_a_switched_method_keeps_what_was_typed_and_tells_what_it_recommends(page: Page) -> None:
    page.locator("#train-steps input").fill("77")
    page.locator("#train-method").get_by_role("radio", name="Whole UNet").check()
    expect(page.locator("#train-learning-rate input")).to_have_value("0.00005")
    expect(page.locator("#train-changed")).to_contain_text("Training steps 77 recommended 300")
    expect(page.locator("#train-steps input")).to_have_value("77")
    page.locator("#train-changed [data-reset=steps]").click()
    expect(page.locator("#train-steps input")).to_have_value("300")
    page.locator("#train-method").get_by_role("radio", name="LoRA").check()
    expect(page.locator("#train-steps input")).to_have_value("400")
    expect(page.locator("#train-changed .dg-chip")).to_have_count(0)


def test_a_decimal_comma_is_a_point(page: Page) -> None:
    rate = page.locator("#train-learning-rate input")
    rate.fill("")
    rate.press_sequentially("0,002")
    expect(rate).to_have_value("0.002")


def test_the_filter_opens_the_groups_with_the_word_and_hides_the_rest(page: Page) -> None:
    find = page.get_by_label("Find a setting")
    find.fill("ema")
    expect(page.locator("#train-ema-decay")).to_be_visible()
    expect(page.locator("#train-optimizer")).to_be_hidden()
    expect(page.locator("#train-group-batch")).to_be_hidden()
    find.fill("nothing like this")
    expect(page.locator("#train-found")).to_contain_text("No setting has these words.")
    find.fill("")
    expect(page.locator("#train-group-batch")).to_be_visible()
    expect(page.locator("#train-ema-decay")).to_be_hidden()


def test_a_preset_of_another_program_is_filled_in_listed_and_taken_back(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "kohya.json"
    file.write_text(json.dumps(GUI))
    open_group(page, "train-presets")
    page.locator("#train-steps input").fill("77")
    page.locator("#train-preset-file input[type=file]").set_input_files(file)
    told = page.locator("#train-preset-told")
    expect(told).to_contain_text("From kohya_ss: 26 taken")
    expect(told.locator("tr", has_text="Training steps")).to_contain_text("77")
    expect(told).to_contain_text("shuffle_caption: no such setting here")
    expect(page.locator("#train-steps input")).to_have_value("1500")
    expect(page.locator("#train-rank input")).to_have_value("32")
    page.locator("#train-preset-undo").click()
    expect(page.locator("#train-steps input")).to_have_value("77")
    expect(page.locator("#train-rank input")).to_have_value("8")


def test_a_preset_is_saved_downloaded_and_used_on_another_page(
    page: Page, browser: Browser, url: str, tmp_path: Path
) -> None:
    open_group(page, "train-presets")
    page.locator("#train-steps input").fill("123")
    page.get_by_label("Preset name").fill("short one")
    with page.expect_download() as download:
        page.locator("#train-preset-download").click()
    download.value.save_as(tmp_path / "mine.json")
    assert read_preset(tmp_path / "mine.json").settings["steps"] == 123
    page.locator("#train-preset-save").click()
    expect(page.locator("#train-preset-saved input")).to_have_value("short-one")
    with opened(browser, url) as other:
        open_tab(other, "Train")
        expect(other.locator("#train-steps input")).to_have_value("400")
        open_group(other, "train-presets")
        other.locator("#train-preset-saved input").click()
        other.get_by_role("option", name="short-one").click()
        other.locator("#train-preset-use").click()
        expect(other.locator("#train-steps input")).to_have_value("123")
        other.locator("#train-preset-delete").click()
        expect(other.locator("#train-preset-saved input")).to_have_value("")


def test_a_fault_stays_said_until_its_field_is_mended(page: Page) -> None:
    faults = page.locator("#train-faults")
    said_at_the_field = "field => getComputedStyle(field, '::after').content"
    page.locator("#train-steps input").fill("2.5")
    page.locator("#train-learning-rate input").fill("0")
    page.locator("#train-start").click()
    expect(faults).to_contain_text("Training steps")
    expect(faults).to_contain_text("Learning rate More than 0.")
    assert page.locator("#train-learning-rate").evaluate(said_at_the_field) == '"More than 0."'
    # Each of these asks the server with all fields.
    open_tab(page, "Compare")
    open_tab(page, "Train")
    page.locator("#train-method").get_by_role("radio", name="Whole UNet").check()
    expect(page.locator("#train-rank")).to_be_hidden()
    expect(faults).to_contain_text("Learning rate More than 0.")
    page.locator("#train-steps input").fill("3")
    expect(faults).not_to_contain_text("Training steps")
    expect(faults).to_contain_text("Learning rate More than 0.")
    page.locator("#train-learning-rate input").fill("0.5")
    expect(faults).not_to_contain_text("Learning rate")
    expect(faults).to_contain_text("Dataset Choose one. The Dataset tab makes it.")
    assert page.locator("#train-learning-rate").evaluate(said_at_the_field) in ("none", "normal")
    expect(page.locator("#train-progress .dg-idle")).to_be_visible()


def test_a_fault_in_a_closed_group_is_one_press_away(page: Page) -> None:
    page.get_by_label("Find a setting").fill("gradient norm")
    norm = page.locator("#train-max-grad-norm input").first
    drawn(page, page.locator("#train-max-grad-norm"))
    norm.fill("-1")
    page.get_by_label("Find a setting").fill("")
    expect(norm).to_be_hidden()
    page.locator("#train-start").click()
    page.locator("#train-faults [data-field='#train-max-grad-norm']").click()
    expect(norm).to_be_focused()


@pytest.mark.parametrize(
    ("tab", "prefix", "field", "other"),
    [
        ("Generate", "generate", "guidance-scale", "scheduler"),
        ("Compare", "compare", "guidance-scale", "scheduler"),
        ("ControlNet", "control", "guidance-scale", "scheduler"),
    ],
)
def test_the_other_tabs_mark_filter_and_reset_too(
    page: Page, tab: str, prefix: str, field: str, other: str
) -> None:
    open_tab(page, tab)
    changed = page.locator(f"#{prefix}-changed .dg-chip")
    expect(changed).to_have_count(0)
    page.locator(f"#{prefix}-find textarea, #{prefix}-find input").fill("guidance")
    number = page.locator(f"#{prefix}-{field} input").first
    expect(number).to_be_visible()
    expect(page.locator(f"#{prefix}-{other}")).to_be_hidden()
    drawn(page, page.locator(f"#{prefix}-{field}"))
    before = number.input_value()
    number.fill("3")
    number.press("Tab")
    expect(changed).to_have_count(1)
    changed.click()
    expect(number).to_have_value(before)
    expect(changed).to_have_count(0)
