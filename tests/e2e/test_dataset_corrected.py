"""Photographs in through the browser, a crop and a caption corrected there, the right files on the disk."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.framing import placements
from tests.e2e.conftest import Server
from tests.e2e.opening import open_group
from tests.e2e.test_page import HOPPER, done, opened, packaged

CAPTION = "a portrait of sks woman in orange, <b>Ännä</b>"
SIZE_PX = 128
Value = TypeVar("Value")


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with opened(browser, server) as page:
        yield page


@pytest.fixture(scope="module")
def dataset(page: Page, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two photographs and a letter, cropped in the page."""
    letter = tmp_path_factory.mktemp("made") / "letter.jpg"
    letter.write_text("Dear Anna")
    files = [packaged("skimage", "data/astronaut.png"), packaged("matplotlib", HOPPER), str(letter)]
    page.locator("#dataset-photos input[type=file]").set_input_files(files)
    expect(page.locator("#dataset-photos")).to_contain_text("letter")
    crop(page, "two people")
    return Dataset.load(server.home / "datasets" / "two-people")


def crop(page: Page, name: str) -> None:
    size = page.locator("#dataset-size-px input")
    size.fill(str(SIZE_PX))
    size.press("Enter")
    page.locator("#dataset-dataset").locator("input, textarea").fill(name)
    page.locator("#dataset-crop").click()
    done(page, "dataset")


def again(dataset: Dataset) -> Dataset:
    return Dataset.load(dataset.folder)


def crops(page: Page) -> Locator:
    return page.locator("#dataset-gallery button.thumbnail-item")


def _until(read: Callable[[], Value], right: Callable[[Value], bool]) -> Value:
    """What the disk holds once the page's change has arrived there."""
    for _ in range(1800):
        if right(value := read()):
            return value
        time.sleep(0.1)
    raise AssertionError(f"after 180 s still {value!r}")


def select(page: Page, number: int, source: str) -> None:
    crops(page).nth(number).click()
    expect(page.locator("#dataset-crop-line")).to_contain_text(source)


def test_each_photograph_has_its_crops_and_the_letter_its_reason(page: Page, dataset: Dataset) -> None:
    assert {entry.source for entry in dataset.entries} == {"astronaut.png", "grace_hopper.jpg"}
    expect(crops(page)).to_have_count(len(dataset.entries))
    row = page.locator("#dataset-refused tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("letter.jpg is plain text")
    for path, caption in dataset.images():
        assert Image.open(path).size == (SIZE_PX, SIZE_PX) and caption == "a photo of sks woman face"


def test_a_box_is_moved_and_undone(page: Page, dataset: Dataset) -> None:
    before = again(dataset).entries[0]
    picture = dataset.path(before).read_bytes()
    select(page, 0, before.source)
    page.locator("#dataset-smaller").click()
    expect(page.locator("#dataset-undo")).to_contain_text("box of 0001.png")
    page.locator("#dataset-right").click()
    entry = _until(lambda: again(dataset).entries[0], lambda entry: entry.version == 2)
    sides = [box[2] - box[0] for box in (before.box, entry.box)]
    assert sides[0] / sides[1] == pytest.approx(1.1, abs=0.02) and entry.box[0] > before.box[0]
    cut = again(dataset).photograph(entry.file).crop(entry.box).resize((SIZE_PX, SIZE_PX))
    kept = Image.open(dataset.path(entry)).convert("RGB")
    assert np.abs(np.asarray(cut, int) - np.asarray(kept, int)).mean() < 6
    shown = page.locator("#dataset-picture img").get_attribute("src") or ""
    page.locator("#dataset-undo").click()
    _until(lambda: again(dataset).entries[0], lambda entry: entry.version == 3)
    # A click that comes before the answer to the one before is passed over.
    expect(page.locator("#dataset-picture img")).not_to_have_attribute("src", shown)
    page.locator("#dataset-undo").click()
    _until(lambda: again(dataset).entries[0], lambda entry: entry.box == before.box)
    assert dataset.path(before).read_bytes() == picture


def test_a_box_is_put_where_the_photograph_is_tapped(page: Page, dataset: Dataset) -> None:
    """Left and above the middle: the square follows as far as the photograph goes."""
    before = again(dataset).entries[0]
    select(page, 0, before.source)
    page.locator("#dataset-smaller").click()
    smaller = _until(lambda: again(dataset).entries[0], lambda entry: entry.box != before.box)
    page.locator("#dataset-photograph img").click(position={"x": 2, "y": 2})
    entry = _until(lambda: again(dataset).entries[0], lambda entry: entry.box != smaller.box)
    assert entry.box[:2] == (0, 0) and entry.box[2] == smaller.box[2] - smaller.box[0]
    assert "to stay inside the photograph" in entry.adjustment
    expect(page.locator("#dataset-crop-line")).to_contain_text("to stay inside the photograph")


def test_another_framing_is_chosen(page: Page, dataset: Dataset) -> None:
    before = again(dataset).entries[0]
    allowed = {option.framing for option in placements(before.face, [], before.photo_size, SIZE_PX, 1.5)}
    (wanted, *_) = sorted(allowed - {before.framing})
    select(page, 0, before.source)
    page.locator("#dataset-framing").get_by_text(wanted, exact=True).click()
    entry = _until(lambda: again(dataset).entries[0], lambda entry: entry.framing == wanted)
    assert entry.box != before.box and Image.open(dataset.path(entry)).size == (SIZE_PX, SIZE_PX)
    expect(crops(page).first).to_contain_text(wanted)


def test_captions_reach_all_files(page: Page, dataset: Dataset) -> None:
    file = dataset.entries[0].file
    select(page, 0, dataset.entries[0].source)
    caption = page.locator("#dataset-caption").locator("input, textarea")
    caption.fill(CAPTION)
    caption.press("Enter")
    beside = dataset.folder / "images" / file.replace(".png", ".txt")
    assert _until(lambda: beside.read_text("utf-8"), lambda text: text == CAPTION)
    open_group(page, "dataset-captions")
    page.locator("#dataset-find").locator("input, textarea").fill("sks woman face")
    page.locator("#dataset-put").locator("input, textarea").fill("sks woman")
    page.locator("#dataset-replace").click()
    last = again(dataset).entries[-1]
    assert _until(
        lambda: again(dataset).entry(last.file).caption, lambda text: text == "a photo of sks woman"
    )
    page.locator("#dataset-prefix").locator("input, textarea").fill("best,")
    page.locator("#dataset-prefix-all").click()
    assert _until(lambda: again(dataset).entries[0].caption, lambda text: text == f"best, {CAPTION}")
    rows = [json.loads(line) for line in (dataset.folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert {row["file_name"]: row["text"] for row in rows} == {
        f"images/{entry.file}": entry.caption for entry in again(dataset).entries
    }
    assert beside.read_text("utf-8") == f"best, {CAPTION}"


def test_the_zip_holds_the_set_without_photographs(page: Page, dataset: Dataset, tmp_path: Path) -> None:
    with page.expect_download() as download:
        page.locator("#dataset-download").click()
    download.value.save_as(tmp_path / "set.zip")
    with zipfile.ZipFile(tmp_path / "set.zip") as archive:
        names = set(archive.namelist())
        texts = [archive.read(name).decode() for name in sorted(names) if name.endswith(".txt")]
    pictures = {f"images/{entry.file}" for entry in dataset.entries}
    sidecars = {name.replace(".png", ".txt") for name in pictures}
    assert names == {"dataset.json", "metadata.jsonl", "kohya.toml"} | pictures | sidecars
    assert texts == [entry.caption for entry in again(dataset).entries]


def test_another_face_is_chosen(browser: Browser, server: Server, tmp_path: Path) -> None:
    """Two people on one photograph: the crop is about the other one after a click, and back after undo."""
    left, right = (
        Image.open(packaged(*where)).convert("RGB").crop((0, 0, 512, 512))
        for where in (("skimage", "data/astronaut.png"), ("matplotlib", HOPPER))
    )
    both = Image.new("RGB", (1024, 512))
    both.paste(left, (0, 0))
    both.paste(right, (512, 0))
    both.save(tmp_path / "both.png")
    with opened(browser, server) as page:
        page.locator("#dataset-photos input[type=file]").set_input_files(tmp_path / "both.png")
        expect(page.locator("#dataset-photos")).to_contain_text("both")
        crop(page, "both")
        # The page had shown the end of the job before this one; a dataset is there before its first crop is.
        folder = server.home / "datasets" / "both"
        _until(lambda: folder / "dataset.json", Path.exists)
        _until(lambda: Dataset.load(folder).entries, bool)
        done(page, "dataset")
        dataset = Dataset.load(folder)
        before = dataset.entries[0]
        assert len(before.others) == 1
        select(page, 0, "both.png")
        page.locator("#dataset-face").get_by_text("2", exact=True).click()
        entry = _until(lambda: again(dataset).entries[0], lambda entry: entry.face != before.face)
        assert entry.face == before.others[0].box and abs(entry.box[0] - before.box[0]) > 200
        page.locator("#dataset-undo").click()
        _until(lambda: again(dataset).entries[0], lambda entry: entry.face == before.face)
