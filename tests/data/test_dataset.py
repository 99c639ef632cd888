from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgui.data.crop import cut, take_in
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.framing import placements
from dreamgui.errors import BadPhoto, Damaged, OutOfRange, UnknownName


@pytest.fixture
def dataset(tmp_path: Path, standing: Path) -> Dataset:
    """Three crops of one photograph: close-up, medium, full."""
    photograph = take_in(standing, tmp_path / "uploads" / "me", 1, 0.5)
    allowed = placements(photograph.face.box, [], photograph.size, 256, 1.5)
    made = Dataset.create(tmp_path / "datasets" / "me", 256, 1.5, "a photo of sks woman face", "me")
    for placement, crop in zip(allowed, cut(photograph, allowed, 256), strict=True):
        made.add(photograph, placement, crop)
    return made


def listed(dataset: Dataset) -> list[str]:
    lines = (dataset.folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["file_name"] for line in lines]


def test_what_is_saved_is_loaded(dataset: Dataset) -> None:
    again = Dataset.load(dataset.folder)
    assert again.entries == dataset.entries and again.size_px == 256
    assert [entry.framing for entry in again.entries] == ["close-up", "medium", "full"]
    assert again.instance_prompt == "a photo of sks woman face"
    for path, caption in again.images():
        assert Image.open(path).size == (256, 256) and not Image.open(path).info
        assert path.with_suffix(".txt").read_text(encoding="utf-8") == caption == again.instance_prompt
    assert listed(again) == ["images/0001.png", "images/0002.png", "images/0003.png"]


def test_the_face_is_where_the_entry_says(dataset: Dataset) -> None:
    for entry in dataset.entries:
        x0, y0, x1, y1 = entry.face_in_crop
        share = max(x1 - x0, y1 - y0)
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
        assert share == pytest.approx(
            (entry.face[2] - entry.face[0]) / (entry.box[2] - entry.box[0]), abs=0.01
        )
        assert abs((x0 + x1) / 2 - 0.5) < 0.02


def test_drop_takes_out_and_restore_brings_back(dataset: Dataset) -> None:
    dataset.drop("0002.png")
    dataset = Dataset.load(dataset.folder)
    assert [path.name for path, _ in dataset.images()] == ["0001.png", "0003.png"]
    assert sorted(path.name for path in (dataset.folder / "images").iterdir()) == [
        "0001.png", "0001.txt", "0003.png", "0003.txt",
    ]  # fmt: skip
    assert listed(dataset) == ["images/0001.png", "images/0003.png"]
    dataset.restore("0002.png")
    dataset = Dataset.load(dataset.folder)
    assert len(dataset.images()) == 3 == len(listed(dataset))
    assert all(path.exists() for path, _ in dataset.images())


def test_captions_reach_all_three_places(dataset: Dataset) -> None:
    dataset.set_caption("0001.png", "  a photo of sks woman,\n wearing  a spacesuit, ä ")
    wanted = "a photo of sks woman, wearing a spacesuit, ä"
    again = Dataset.load(dataset.folder)
    assert again.entries[0].caption == wanted == again.images()[0][1]
    assert (again.folder / "images" / "0001.txt").read_text(encoding="utf-8") == wanted
    assert wanted in (again.folder / "metadata.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", " \n ", "x" * 1001])
def test_captions_have_limits(dataset: Dataset, text: str) -> None:
    with pytest.raises(OutOfRange, match=r"1 to 1000 letters"):
        dataset.set_caption("0001.png", text)


def test_set_framing_cuts_again_from_the_kept_photograph(dataset: Dataset) -> None:
    wide = np.asarray(Image.open(dataset.path(dataset.entries[2]))).astype(int)
    entry = dataset.set_framing("0001.png", "full")
    again = Dataset.load(dataset.folder)
    assert again.entries[0] == entry and entry.framing == "full" and entry.box == dataset.entries[2].box
    assert np.abs(np.asarray(Image.open(again.path(entry))).astype(int) - wide).max() == 0


def test_set_framing_refuses_what_the_photograph_does_not_allow(tmp_path: Path, hopper: Path) -> None:
    photograph = take_in(hopper, tmp_path / "uploads" / "me", 1, 0.5)
    allowed = placements(photograph.face.box, [], photograph.size, 512, 1.5)
    dataset = Dataset.create(tmp_path / "datasets" / "me", 512, 1.5, "sks", "me")
    dataset.add(photograph, allowed[0], cut(photograph, allowed, 512)[0])
    before = dataset.path(dataset.entries[0]).read_bytes()
    with pytest.raises(BadPhoto, match=r"grace_hopper\.jpg: the photograph shows too little"):
        dataset.set_framing("0001.png", "full")
    assert dataset.path(dataset.entries[0]).read_bytes() == before
    photograph.kept.unlink()
    with pytest.raises(BadPhoto, match="isn't there any more"):
        dataset.set_box("0001.png", (0, 0, 400, 400))
    assert dataset.path(dataset.entries[0]).read_bytes() == before and not dataset.undoable


def test_unknown_crops_are_named(dataset: Dataset) -> None:
    for file in ("0009.png", "../0001.png"):
        with pytest.raises(UnknownName, match="no crop named"):
            dataset.drop(file)


def test_a_drop_that_was_cut_off_is_finished_at_the_next_load(dataset: Dataset) -> None:
    dataset.drop("0001.png")
    hidden = dataset.folder / ".dropped" / "0001.png"
    hidden.rename(dataset.folder / "images" / "0001.png")
    assert Dataset.load(dataset.folder).path(dataset.entries[0]).exists()
    assert not (dataset.folder / "images" / "0001.png").exists()


def test_damage_is_told(dataset: Dataset) -> None:
    (dataset.folder / "images" / "0002.png").unlink()
    with pytest.raises(Damaged, match=r"0002\.png is missing"):
        Dataset.load(dataset.folder)
    sheet = dataset.folder / "dataset.json"
    whole = sheet.read_text(encoding="utf-8")
    for broken in ("", whole[:100], whole.replace("0001.png", "../../x.png"), whole.replace('"me"', '".."')):
        sheet.write_text(broken, encoding="utf-8")
        with pytest.raises(Damaged, match="can't be read"):
            Dataset.load(dataset.folder)
    with pytest.raises(Damaged):
        Dataset.load(dataset.folder / "nowhere")


def test_imagefolder_reads_it(dataset: Dataset) -> None:
    datasets = pytest.importorskip("datasets")
    dataset.set_caption("0002.png", "another caption")
    dataset.drop("0003.png")
    rows = datasets.load_dataset(
        "imagefolder",
        data_dir=str(dataset.folder),
        split="train",
        cache_dir=str(dataset.folder.parent / "cache"),
    )
    assert rows["text"][:] == [dataset.instance_prompt, "another caption"]
    assert rows[0]["image"].size == (256, 256)
