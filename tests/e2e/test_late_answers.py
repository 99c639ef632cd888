"""A slow answer of the page leaves alone what was typed since it was asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.ui.parts.form import Form
from dreamgui.ui.tabs.library.shelf import Shelf
from tests.diffusion.made import make_dataset
from tests.e2e.opening import drawn, open_group, open_tab
from tests.ui.conftest import serve
from tests.ui.fakes import add_base, fake_services

WAIT_SECONDS = 120


@pytest.fixture
def gate() -> Event:
    """Open at first; while it is closed, what :func:`gated` made waits for it."""
    gate = Event()
    gate.set()
    return gate


def gated(gate: Event, action: Callable[..., Any]) -> Callable[..., Any]:
    def waiting(*given: Any, **named: Any) -> Any:
        assert gate.wait(WAIT_SECONDS)
        return action(*given, **named)

    return waiting


@pytest.fixture
def page(
    browser: Browser, gate: Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Page, str, Dataset]]:
    """A tab that hasn't been opened yet, its address, and the dataset in its workspace."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setattr(Catalog, "card", gated(gate, Catalog.card))
    monkeypatch.setattr(Dataset, "entry", gated(gate, Dataset.entry))
    monkeypatch.setattr(Form, "refresh", gated(gate, Form.refresh))
    services = fake_services(tmp_path / "work")
    add_base(services.workspace, "portraits")
    dataset = make_dataset(services.workspace)
    tab = browser.new_page(viewport={"width": 1280, "height": 1200})
    for served in serve(services):
        yield tab, served.url, dataset
        gate.set()
        tab.close()


def field(page: Page, name: str) -> Locator:
    return page.locator(f"#{name}").locator("input, textarea").first


def test_recommended_settings_leave_alone_what_was_typed_before_they_came(
    page: tuple[Page, str, Dataset], gate: Event
) -> None:
    tab, url, _ = page
    gate.clear()
    tab.goto(url)
    tab.get_by_role("tab", name="Train", exact=True).click()
    drawn(tab, tab.locator("#train-steps"))
    expect(field(tab, "train-steps")).to_be_visible()
    field(tab, "train-steps").fill("77")
    gate.set()
    expect(field(tab, "train-learning-rate")).to_have_value("0.001")
    expect(field(tab, "train-steps")).to_have_value("77")
    field(tab, "train-steps").fill("400")
    gate.clear()
    tab.locator("#train-method").get_by_role("radio", name="Whole UNet").check()
    field(tab, "train-learning-rate").fill("0.25")
    gate.set()
    expect(field(tab, "train-steps")).to_have_value("300")
    expect(field(tab, "train-learning-rate")).to_have_value("0.25")


def test_two_quick_choices_end_at_the_second(page: tuple[Page, str, Dataset], gate: Event) -> None:
    """A value that the first choice's answer put in isn't taken for typed."""
    tab, url, _ = page
    tab.goto(url)
    open_tab(tab, "Train")
    expect(field(tab, "train-learning-rate")).to_have_value("0.001")
    methods = tab.locator("#train-method")
    methods.get_by_role("radio", name="Whole UNet").check()
    expect(field(tab, "train-steps")).to_have_value("300")
    gate.clear()
    methods.get_by_role("radio", name="LoRA").check()
    methods.get_by_role("radio", name="Whole UNet").check()
    methods.get_by_role("radio", name="LoRA").check()
    gate.set()
    expect(field(tab, "train-learning-rate")).to_have_value("0.001")
    expect(field(tab, "train-steps")).not_to_have_value("300")


def test_what_was_chosen_while_the_choices_were_refreshed_stays(
    page: tuple[Page, str, Dataset], gate: Event
) -> None:
    tab, url, dataset = page
    models = dataset.folder.parent.parent / "models"
    shutil.copytree(models / "portraits", models / "another")
    tab.goto(url)
    open_tab(tab, "Train")
    expect(field(tab, "train-model")).to_have_value("portraits")
    expect(field(tab, "train-dataset")).to_have_value("anna")
    open_tab(tab, "Compare")
    shutil.rmtree(dataset.folder)
    gate.clear()
    open_tab(tab, "Train")
    field(tab, "train-model").fill("another")
    field(tab, "train-model").press("Enter")
    gate.set()
    expect(tab.locator("#train-dataset")).to_contain_text("None yet")
    expect(field(tab, "train-model")).to_have_value("another")


def test_a_filter_that_was_typed_stays_the_librarys(
    page: tuple[Page, str, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer without the filter, asked for before it was typed, would come after the filter's own."""
    tab, url, _ = page
    tab.goto(url)
    open_tab(tab, "Library")
    tab.locator("[data-item='dataset/anna']").click()
    expect(tab.locator("[data-shown='dataset/anna']")).to_be_visible()
    open_group(tab, "library-labels")
    field(tab, "library-note").fill("mine")
    shown, asked, filtered, both = Shelf._shown, Event(), Event(), Event()
    answered: list[str] = []

    def slow(shelf: Shelf, kind: str, words: str, count: int) -> Any:
        answer = shown(shelf, kind, words, count)
        asked.set()
        if not words:
            # The one with the filter comes first if it is asked for meanwhile.
            filtered.wait(3)
        answered.append(words)
        if words:
            filtered.set()
        if len(answered) == 2:
            both.set()
        return answer

    monkeypatch.setattr(Shelf, "_shown", slow)
    tab.locator("#library-save").click()
    assert asked.wait(WAIT_SECONDS)
    field(tab, "library-words").fill("portraits")
    assert both.wait(WAIT_SECONDS)
    assert answered == ["", "portraits"]
    expect(tab.locator("[data-item]")).to_have_count(1)


def test_a_caption_that_was_typed_stays_its_crops(page: tuple[Page, str, Dataset], gate: Event) -> None:
    tab, url, dataset = page
    first, second = dataset.entries[:2]
    tab.goto(url)
    crops = tab.locator("#dataset-gallery button.thumbnail-item")
    crops.nth(0).click()
    expect(field(tab, "dataset-caption")).to_have_value(first.caption)
    gate.clear()
    crops.nth(1).click()
    field(tab, "dataset-caption").fill("typed for the first")
    gate.set()
    expect(tab.locator("#dataset-crop-line")).to_contain_text(second.file)
    expect(field(tab, "dataset-caption")).to_have_value("typed for the first")
    field(tab, "dataset-caption").press("Enter")
    expect(tab.locator("#dataset-crop-line")).to_contain_text(first.file)
    saved = {entry.file: entry.caption for entry in Dataset.load(dataset.folder).entries}
    assert (saved[first.file], saved[second.file]) == ("typed for the first", second.caption)
