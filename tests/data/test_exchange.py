from __future__ import annotations

import json
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgui.data.crop import Photograph
from dreamgui.data.dataset import Dataset
from dreamgui.data.exchange import check_target, export_folder, export_zip, import_zip, is_export
from dreamgui.data.faces import Face
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
    again = import_zip(path, workspace, "anna")
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
    again = import_zip(export_zip(dataset, tmp_path / "a.zip"), workspace, "b")
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
    with pytest.raises(BadInput, match=r"a\.zip is no data set"):
        import_zip(path, workspace, "x")
    assert [file.name for file in (workspace.root / "datasets").iterdir()] == ["anna"]
