from __future__ import annotations

import json
import re
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgui.config import DatasetLayout
from dreamgui.data.crop import Photograph
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.exchange.exchange import (
    check_target,
    export,
    export_folder,
    export_zip,
    import_export,
    is_export,
)
from dreamgui.data.faces.detect import Face
from dreamgui.data.framing import Placement
from dreamgui.errors import BadInput
from dreamgui.workspace import Workspace

SIZE_PX = 64


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def dataset(workspace: Workspace) -> Dataset:
    """Four crops: one dropped, one held out."""
    made = Dataset.create(workspace.place("datasets", "anna"), SIZE_PX, 1.5, "sks", "anna")
    box = (0, 0, SIZE_PX, SIZE_PX)
    for number in range(4):
        kept = workspace.place("uploads", "anna") / f"{number + 1:04d}.png"
        photograph = Photograph(f"Ännä {number}.jpg", kept, (SIZE_PX, SIZE_PX), Face(box, 0.9, ()), ())
        noise = np.random.default_rng(number).integers(0, 255, (SIZE_PX, SIZE_PX, 3), np.uint8)
        made.add(photograph, Placement("close-up", box, 0.5, 1.0, 0, False), Image.fromarray(noise))
    made.set_caption("0001.png", "sks, grüne Jacke")
    made.drop("0002.png")
    made.hold_out("0003.png")
    return made


def test_a_data_set_leaves_and_comes_back(dataset: Dataset, workspace: Workspace, tmp_path: Path) -> None:
    path = export_zip(dataset, tmp_path / "anna.zip")
    assert is_export(path) and path.read_bytes() == export_zip(dataset, tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert not any("upload" in name or "0002" in name for name in archive.namelist())
    again = import_export(path, workspace, "anna").dataset
    assert again.folder.name == "anna-2"
    kept = [entry for entry in dataset.entries if not entry.dropped]
    assert again.entries == tuple(kept) and not again.undoable
    assert again.held_out_photographs == ("Ännä 2.jpg",) and len(again.images()) == 2
    for entry in kept:
        assert Image.open(again.path(entry)).tobytes() == Image.open(dataset.path(entry)).tobytes()
    again.drop("0001.png")
    assert len(Dataset.load(again.folder).images()) == 1


def test_an_imported_set_never_reaches_another_ones_photographs(
    dataset: Dataset, workspace: Workspace, tmp_path: Path
) -> None:
    again = import_export(export_zip(dataset, tmp_path / "a.zip"), workspace, "b").dataset
    uploads = json.loads((again.folder / "dataset.json").read_text("utf-8"))["uploads"]
    assert uploads.startswith("imported-") and uploads not in workspace.names("uploads")


def test_a_folder_for_other_trainers(dataset: Dataset, tmp_path: Path) -> None:
    target = export_folder(dataset, tmp_path / "out")
    files = {file.relative_to(target).as_posix() for file in target.rglob("*") if file.is_file()}
    assert files == {
        "dataset.json", "metadata.jsonl", "kohya.toml", "images/0001.png", "images/0001.txt",
        "images/0004.png", "images/0004.txt", ".held-out/0003.png", ".held-out/0003.txt",
    }  # fmt: skip
    assert export_folder(dataset, target) == target
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    for taken in (tmp_path / "full", tmp_path / "full" / "letter.txt"):
        with pytest.raises(BadInput, match=r"can be written|holds other files"):
            check_target(taken)


def test_kohyas_config_names_what_is_there(dataset: Dataset) -> None:
    """As sd-scripts reads it: each picture of image_dir with the caption file of the same stem."""
    config = tomllib.loads((dataset.folder / "kohya.toml").read_text("utf-8"))
    ((settings,), extension) = (config["datasets"], config["general"]["caption_extension"])
    (subset,) = settings["subsets"]
    pictures = sorted((dataset.folder / subset["image_dir"]).glob("*.png"))
    captions = [picture.with_suffix(extension).read_text("utf-8") for picture in pictures]
    assert captions == ["sks, grüne Jacke", "sks"] and settings["resolution"] == SIZE_PX


def test_imagefolder_reads_the_export(dataset: Dataset, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    target = export_folder(dataset, tmp_path / "out")
    rows = datasets.load_dataset(
        "imagefolder", data_dir=str(target), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert rows["text"][:] == ["sks, grüne Jacke", "sks"]


def _sheet(change: Callable[[dict], object]) -> Callable[[dict[str, bytes]], None]:
    def apply(files: dict[str, bytes]) -> None:
        sheet = json.loads(files["dataset.json"])
        change(sheet)
        files["dataset.json"] = json.dumps(sheet).encode()

    return apply


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: files.pop("images/0001.png"),
        lambda files: files.update({"dataset.json": b"{}"}),
        lambda files: files.update({"dataset.json": files["dataset.json"][:90]}),
        lambda files: files.update({"images/0001.png": b"GIF89a"}),
        lambda files: files.update({"images/0001.png": bytes(1_000_000)}),
        lambda files: files.update({"images/0001.png": files["images/0004.png"][:500]}),
        _sheet(lambda sheet: sheet["entries"][0].update(file="../../0001.png")),
        _sheet(lambda sheet: sheet["entries"][0].update(file="0004.png")),
        _sheet(lambda sheet: sheet["entries"][0].update(box=[0, 0, 0, 0])),
        _sheet(lambda sheet: sheet["entries"][0].update(caption="")),
        _sheet(lambda sheet: sheet["entries"][0].update(score=float("nan"))),
        _sheet(lambda sheet: sheet.update(uploads="../anna")),
        _sheet(lambda sheet: sheet.update(size_px=128)),
    ],
)
def test_a_spoilt_export_is_refused_and_leaves_nothing(
    dataset: Dataset, workspace: Workspace, tmp_path: Path, spoil: Callable[[dict[str, bytes]], object]
) -> None:
    path = export_zip(dataset, tmp_path / "a.zip")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    spoil(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with pytest.raises(BadInput, match=r"a\.zip is no dataset"):
        import_export(path, workspace, "x")
    assert [file.name for file in (workspace.root / "datasets").iterdir()] == ["anna"]


def files_of(target: Path) -> set[str]:
    return {file.relative_to(target).as_posix() for file in target.rglob("*") if file.is_file()}


def subset(folder: Path) -> dict:
    config = tomllib.loads((folder / "kohya.toml").read_text("utf-8"))
    return config["datasets"][0]["subsets"][0]


def test_kohyas_scripts_read_their_layout(dataset: Dataset, tmp_path: Path) -> None:
    """--train_data_dir wants folders called after repeats and prompt; --dataset_config works from anywhere."""
    target = export(dataset, tmp_path / "out", "kohya")
    assert files_of(target) == {
        "dataset.json", "kohya.toml", "10_sks/0001.png", "10_sks/0001.txt", "10_sks/0004.png",
        "10_sks/0004.txt", ".held-out/0003.png", ".held-out/0003.txt",
    }  # fmt: skip
    assert subset(target)["image_dir"] == (target / "10_sks").as_posix()
    with zipfile.ZipFile(export(dataset, tmp_path / "out.zip", "kohya")) as archive:
        assert b"whole path" in archive.read("kohya.toml") and "10_sks/0001.txt" in archive.namelist()


def test_a_prompt_becomes_kohyas_folder_whatever_its_letters(
    dataset: Dataset, workspace: Workspace, tmp_path: Path
) -> None:
    for number, (prompt, wanted) in enumerate(
        [("a/b: \\c..", "10_a b c"), ("sks женщина", "10_sks женщина"), ("?", "10_subject")]
    ):
        other = Dataset.create(workspace.place("datasets", f"p{number}"), SIZE_PX, 1.5, prompt, "anna")
        target = export(other, tmp_path / f"p{number}", "kohya")
        assert Path(subset(target)["image_dir"]).name == wanted


def test_diffusers_scripts_read_their_layout(dataset: Dataset, tmp_path: Path) -> None:
    """DreamBooth's opens every file of its folder as a picture."""
    target = export(dataset, tmp_path / "out", "diffusers")
    assert files_of(target) == {
        "dataset.json", "metadata.jsonl", "images/0001.png", "images/0004.png", ".held-out/0003.png",
    }  # fmt: skip
    for file in (target / "images").iterdir():
        Image.open(file).load()
    rows = [json.loads(line) for line in (target / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert rows[0] == {"file_name": "images/0001.png", "text": "sks, grüne Jacke"}


@pytest.mark.parametrize("layout", ["dreamgui", "kohya", "diffusers"])
@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_every_layout_comes_back(
    dataset: Dataset, workspace: Workspace, tmp_path: Path, layout: DatasetLayout, name: str
) -> None:
    target = export(dataset, tmp_path / name, layout)
    assert is_export(target) and export(dataset, target, layout) == target
    again = import_export(target, workspace, "back").dataset
    assert again.entries == tuple(entry for entry in dataset.entries if not entry.dropped)
    assert subset(again.folder)["image_dir"] == (again.folder / "images").as_posix()


def test_kohyas_config_follows_the_folder_but_for_the_users_own(
    dataset: Dataset, workspace: Workspace
) -> None:
    assert Path(subset(dataset.folder)["image_dir"]) == dataset.folder / "images"
    moved = dataset.folder.rename(workspace.place("datasets", "moved"))
    Dataset.load(moved)
    assert Path(subset(moved)["image_dir"]) == moved / "images"
    own = (moved / "kohya.toml").read_text("utf-8").replace("num_repeats = 10", "num_repeats = 3")
    (moved / "kohya.toml").write_text(own, "utf-8")
    Dataset.load(moved).drop("0001.png")
    assert (moved / "kohya.toml").read_text("utf-8") == own
    earlier = re.sub("#.*\n", "", own).replace("num_repeats = 3", "num_repeats = 10")
    (moved / "kohya.toml").write_text(re.sub("image_dir = .*", 'image_dir = "images"', earlier), "utf-8")
    Dataset.load(moved)
    assert Path(subset(moved)["image_dir"]) == moved / "images"


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_another_export_takes_no_edited_ones_place(dataset: Dataset, tmp_path: Path, name: str) -> None:
    """Captions and pictures that somebody put into an earlier export went with it, without a word."""
    target = tmp_path / name
    assert export(dataset, target) == export(dataset, target)
    for change, data in (("images/0001.txt", b"with a hat"), ("images/mine.png", b"a picture")):
        if target.is_dir():
            kept = target / change
            before = kept.read_bytes() if kept.exists() else None
            kept.write_bytes(data)
        else:
            plain = target.read_bytes()
            with zipfile.ZipFile(target) as archive:
                files = {file: archive.read(file) for file in archive.namelist()} | {change: data}
            with zipfile.ZipFile(target, "w") as archive:
                for file, content in files.items():
                    archive.writestr(file, content)
        with pytest.raises(BadInput, match=f"{name} would be lost.*{Path(change).stem}"):
            check_target(target)
        if target.is_file():
            target.write_bytes(plain)
        elif before is None:
            kept.unlink()
        else:
            kept.write_bytes(before)


def test_an_export_takes_no_datasets_place(dataset: Dataset, tmp_path: Path) -> None:
    """A crop's copy, written to another dataset's folder, replaced that dataset and all its captions."""
    with pytest.raises(BadInput, match=r"would be lost. It is a dataset that is worked on"):
        check_target(dataset.folder)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "dataset.json").write_text('{"entries": []}')
    with pytest.raises(BadInput, match=r"broken holds a dataset\.json that can't be read"):
        check_target(tmp_path / "broken")
