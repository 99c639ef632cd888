"""What a user corrects: face, framing, box, drop, captions; and how it is undone and survives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgui.data.crop import cut, take_in
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.dataset.store import Store
from dreamgui.data.framing import fit, placements
from dreamgui.errors import BadPhoto, OutOfRange

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(astronaut: Path, hopper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a dataset of three crops from a photograph of two people."""
    home = tmp_path_factory.mktemp("home")
    canvas = Image.new("RGB", (1600, 1200), (90, 120, 90))
    canvas.paste(Image.open(astronaut).convert("RGB"), (300, 100))
    canvas.paste(Image.open(hopper).convert("RGB").resize((256, 300)), (1200, 300))
    canvas.save(home / "two.jpg", quality=95)
    photograph = take_in(home / "two.jpg", home / "uploads" / "me", 1, 0.5)
    allowed = placements(photograph.face.box, [], photograph.size, 256, 1.5)
    dataset = Dataset.create(home / "datasets" / "me", 256, 1.5, "a photo of sks woman", "me")
    for placement, crop in zip(allowed, cut(photograph, allowed, 256), strict=True):
        dataset.add(photograph, placement, crop)
    return home


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Dataset:
    shutil.copytree(made, tmp_path / "home")
    return Dataset.load(tmp_path / "home" / "datasets" / "me")


def pixels(dataset: Dataset, file: str) -> np.ndarray:
    return np.asarray(Image.open(dataset.path(dataset.entry(file)))).astype(int)


def in_step(dataset: Dataset) -> None:
    """All files say what dataset.json says."""
    again = Dataset.load(dataset.folder)
    assert again.entries == dataset.entries
    rows = [json.loads(line) for line in (dataset.folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    used = [entry for entry in dataset.entries if entry.in_use]
    assert rows == [{"file_name": f"images/{entry.file}", "text": entry.caption} for entry in used]
    there = {file.name for file in (dataset.folder / "images").iterdir()}
    assert there == {name for e in used for name in (e.file, e.file.replace(".png", ".txt"))}
    for entry in dataset.entries:
        assert dataset.path(entry).with_suffix(".txt").read_text("utf-8") == entry.caption


def test_a_moved_box_is_cut_where_it_was_put(dataset: Dataset) -> None:
    entry = dataset.set_box("0001.png", (400, 100, 800, 500))
    assert entry.box == (400, 100, 800, 500) and entry.adjustment == "" and entry.enlargement == 0.64
    whole = np.asarray(dataset.photograph("0001.png").crop(entry.box).resize((256, 256))).astype(int)
    assert np.abs(pixels(dataset, "0001.png") - whole).mean() < 4
    in_step(dataset)


@pytest.mark.parametrize(
    ("box", "wanted", "words"),
    [
        ((-200, -100, 300, 400), (0, 0, 500, 500), "moved by 200 pixels to stay inside"),
        ((0, 0, 5000, 4000), (0, 0, 1200, 1200), "made smaller"),
        ((500, 200, 510, 210), (420, 120, 591, 291), "made larger, as it would be enlarged more than 1.5"),
        ((900, 600, 400, 400), (400, 250, 900, 750), "made square"),
        ((1100, 700, 1500, 1100), (1100, 700, 1500, 1100), "the face that was found lies outside"),
    ],
)
def test_a_box_stays_inside_and_says_what_was_done(
    dataset: Dataset, box: tuple[float, ...], wanted: tuple[int, ...], words: str
) -> None:
    entry = dataset.set_box("0001.png", box)
    assert np.abs(np.array(entry.box) - wanted).max() <= 400 and words in entry.adjustment
    x0, y0, x1, y1 = entry.box
    assert 0 <= x0 < x1 <= 1600 and 0 <= y0 < y1 <= 1200 and x1 - x0 == y1 - y0 == wanted[2] - wanted[0]


def test_any_box_ends_up_square_and_inside() -> None:
    dice = np.random.default_rng(0)
    for _ in range(2000):
        size = (int(dice.integers(200, 4000)), int(dice.integers(200, 4000)))
        placement = fit(tuple(dice.normal(0, 3000, 4)), (50, 50, 100, 100), size, 256, 1.5)
        x0, y0, x1, y1 = placement.box
        assert 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1] and x1 - x0 == y1 - y0
        assert placement.enlargement <= 1.5
    for wrong in ((1, 2, 3), (1, 2, 3, float("nan"))):
        with pytest.raises(OutOfRange, match="is no box"):
            fit(wrong, (50, 50, 100, 100), (500, 500), 256, 1.5)


def test_another_face_becomes_the_subject(dataset: Dataset) -> None:
    before = dataset.entry("0001.png")
    (other,) = before.others
    entry = dataset.choose_face("0001.png", 0)
    assert entry.face == other.box and entry.score == other.score and entry.others == (before.subject,)
    assert (
        entry.box[0] > 1000 and entry.quality and entry.quality.face_px == pytest.approx(other.size_px, abs=1)
    )
    in_step(dataset)
    with pytest.raises(OutOfRange, match="number 3 isn't one"):
        dataset.choose_face("0001.png", 3)


def test_everything_can_be_undone_one_after_the_other(dataset: Dataset) -> None:
    start, picture = dataset.entries, pixels(dataset, "0001.png")
    dataset.set_box("0001.png", (700, 300, 1300, 900))
    dataset.choose_face("0002.png", 0)
    dataset.drop("0003.png")
    dataset.prefix_captions("best,")
    dataset.set_caption("0001.png", "another")
    dataset.hold_out("0001.png")
    undone = []
    while Dataset.load(dataset.folder).undoable:
        undone.append(dataset.undo())
        in_step(dataset)
    assert undone == [
        "hold out 0001.png", "caption of 0001.png", "prefix 'best,'", "drop 0003.png", "face of 0002.png",
        "box of 0001.png",
    ]  # fmt: skip
    unversioned = [entry.model_copy(update={"version": 0, "quality": None}) for entry in dataset.entries]
    assert unversioned == [entry.model_copy(update={"quality": None}) for entry in start]
    assert np.array_equal(pixels(dataset, "0001.png"), picture)
    with pytest.raises(OutOfRange, match="nothing to undo"):
        dataset.undo()


def test_without_the_photograph_nothing_changes_and_undo_says_why(dataset: Dataset) -> None:
    dataset.set_box("0001.png", (700, 300, 1300, 900))
    shutil.rmtree(dataset.folder.parents[1] / "uploads")
    for change in (
        lambda: dataset.undo(),
        lambda: dataset.set_framing("0002.png", "close-up"),
        lambda: dataset.photograph("0002.png"),
    ):
        with pytest.raises(BadPhoto, match="isn't there any more"):
            change()
    assert dataset.undoable == "box of 0001.png"
    in_step(dataset)


def test_captions_in_bulk(dataset: Dataset) -> None:
    dataset.set_caption("0002.png", "a drawing")
    assert dataset.replace_in_captions("sks woman", "sks person") == 2
    assert dataset.prefix_captions("photo:") == 3 and dataset.prefix_captions("photo:") == 0
    assert [caption for _, caption in dataset.images()] == [
        "photo: a photo of sks person", "photo: a drawing", "photo: a photo of sks person",
    ]  # fmt: skip
    in_step(dataset)
    before = dataset.entries
    for change in (
        lambda: dataset.replace_in_captions("", "x"),
        lambda: dataset.replace_in_captions("photo: a drawing", " "),
        lambda: dataset.prefix_captions("x" * 995),
    ):
        with pytest.raises(OutOfRange):
            change()
    assert Dataset.load(dataset.folder).entries == before


def test_held_out_crops_are_never_trained_on(dataset: Dataset) -> None:
    dataset.hold_out("0002.png")
    assert dataset.images() == [] and len(dataset.held_out()) == 3
    assert dataset.held_out_photographs == ("two.jpg",)
    saved = json.loads((dataset.folder / "dataset.json").read_text("utf-8"))
    assert saved["held_out"] == ["two.jpg"] and not list((dataset.folder / "images").iterdir())
    assert all(path.is_file() for path, _ in dataset.held_out())
    in_step(dataset)
    dataset.drop("0001.png")
    assert len(dataset.held_out()) == 2
    dataset.restore("0001.png")
    dataset.hold_out("0003.png", aside=False)
    assert len(dataset.images()) == 3 and dataset.held_out_photographs == ()


def test_two_pages_lose_none_of_each_others_changes(dataset: Dataset) -> None:
    other = Dataset.load(dataset.folder)
    dataset.set_caption("0001.png", "mine")
    other.drop("0002.png")
    assert other.entries[0].caption == "mine"

    def write(number: int) -> None:
        page = Dataset.load(dataset.folder)
        for turn in range(6):
            page.set_caption(f"000{number}.png", f"{number} {turn}")

    threads = [threading.Thread(target=write, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Dataset.load(dataset.folder)
    assert [entry.caption for entry in again.entries] == ["1 5", "2 5", "3 5"] and again.entries[1].dropped
    in_step(again)


@pytest.mark.parametrize("writes", [0, 1, 2, 3, 4])
def test_killed_at_any_write_crop_and_sheet_stay_one(dataset: Dataset, writes: int) -> None:
    """A change in another process, which ends itself at its n-th write: then all is old or all new."""
    old = dataset.entries[0]
    code = (
        "import os, sys; from pathlib import Path; import dreamgui.data.dataset.store as store\n"
        "from dreamgui.data.dataset.dataset import Dataset\n"
        f"dataset = Dataset.load(Path({str(dataset.folder)!r}))\n"
        f"left, write = [{writes}], store.write_atomic\n"
        "def dying(path, data):\n"
        "    if not left[0]: os._exit(9)\n"
        "    left[0] -= 1; write(path, data)\n"
        "store.write_atomic = dying\n"
        "dataset.set_box('0001.png', (700, 300, 1300, 900)); dataset.set_caption('0001.png', 'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == (9 if writes < 4 else done.returncode)
    again = Dataset.load(dataset.folder)
    entry = again.entries[0]
    assert entry.box in (old.box, (700, 300, 1300, 900)) and (entry.box == old.box) == (writes < 2)
    wanted = again._cut(entry)
    assert np.array_equal(pixels(again, "0001.png"), np.asarray(wanted).astype(int))
    assert not list((dataset.folder / ".next").iterdir())
    in_step(again)


def test_a_reader_doesnt_disturb_a_writer(dataset: Dataset) -> None:
    store = Store(dataset.folder)
    with store.locked():
        pending = dataset.folder / ".next" / "1-0001.png"
        pending.write_bytes(b"being written")
        reader = threading.Thread(target=lambda: Dataset.load(dataset.folder))
        reader.start()
        reader.join(0.3)
        assert reader.is_alive() and pending.exists()
        pending.unlink()
    reader.join(5)
    assert not reader.is_alive()
