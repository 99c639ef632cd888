"""Photographs that come with captions, in kohya's folders, or as a finished dataset."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from dreamgui.config import CropJob
from dreamgui.data.dataset.coverage import cover
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.errors import BadPhoto
from dreamgui.evaluate.reference import reference_of
from dreamgui.events import Event, Note, Saved, Skipped
from dreamgui.models.manager import Models
from dreamgui.recipes.crop import crop
from dreamgui.workspace import Workspace
from tests.recipes.test_crop import ASTRONAUT, COFFEE, HOPPER, lookalikes

PROMPT = "a photo of sks woman face"
SIZE_PX = 64


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


def cropped(
    workspace: Workspace, photos: Sequence[Path], **settings: Any
) -> tuple[Dataset, list[str], list[Event]]:
    """The dataset, all notes, and all events."""
    job = CropJob(photos=tuple(photos), **{"size_px": SIZE_PX, "hold_out": False, **settings})
    events = list(crop(job, workspace, cast(Models, None)))
    saved = next(event for event in events if isinstance(event, Saved) and event.what == "dataset")
    return Dataset.load(saved.path), [event.text for event in events if isinstance(event, Note)], events


def captions(dataset: Dataset) -> dict[str, str]:
    return {entry.source: entry.caption for entry in dataset.entries}


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trainer's folder: five square pictures, four with captions of different kinds, one without."""
    folder = tmp_path_factory.mktemp("set") / "10_anna woman"
    lookalikes(folder, 5)
    (folder / "p0.txt").write_bytes("anna, красное пальто".encode("cp1251"))
    (folder / "p1.caption").write_bytes("\ufeffanna,\r\nsmiling".encode())
    (folder / "p2.jpg.txt").write_bytes("anna, naïve".encode("utf-16"))
    (folder / "metadata.jsonl").write_text(
        '{"file_name": "p3.jpg", "text": "anna, rows"}\n{"file_name": "p0.jpg", "text": "older"}\n'
    )
    return folder


WANTED = {
    "p0.jpg": "anna, красное пальто",
    "p1.jpg": "anna, smiling",
    "p2.jpg": "anna, naïve",
    "p3.jpg": "anna, rows",
    "p4.jpg": PROMPT,
}


def test_captions_beside_photographs_become_those_of_their_crops(
    workspace: Workspace, captioned: Path
) -> None:
    dataset, notes, events = cropped(workspace, [captioned])
    assert captions(dataset) == WANTED
    assert any("4 of 5" in note for note in notes) and not any("as-is" in note for note in notes)
    assert not [event for event in events if isinstance(event, Skipped)]


def test_captions_given_one_by_one_or_in_a_zip(workspace: Workspace, captioned: Path, tmp_path: Path) -> None:
    """A page keeps each upload in a folder of its own."""
    uploads = []
    for number, file in enumerate(sorted(captioned.iterdir())):
        (tmp_path / str(number)).mkdir()
        uploads.append(Path(shutil.copy(file, tmp_path / str(number))))
    dataset, _, events = cropped(workspace, uploads)
    assert captions(dataset) == WANTED and not [event for event in events if isinstance(event, Skipped)]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in captioned.iterdir():
            archive.write(file, f"set\\{file.name}")
    assert captions(cropped(workspace, [tmp_path / "a.zip"])[0]) == WANTED


def test_class_pictures_of_kohyas_layout_are_not_the_subject(
    workspace: Workspace, captioned: Path, tmp_path: Path
) -> None:
    shutil.copytree(captioned, tmp_path / "train" / "img" / captioned.name)
    for folder in ("train/1_woman", "train/reg/3_person"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(HOPPER, tmp_path / folder)
    dataset, notes, _ = cropped(workspace, [tmp_path / "train"])
    assert set(captions(dataset)) == set(WANTED)
    (note,) = [note for note in notes if "class pictures" in note]
    assert "2 class pictures" in note and "'1_woman'" in note and "'3_person'" in note
    assert "'10_anna woman'" in note
    alone, notes, _ = cropped(workspace, [tmp_path / "train" / "1_woman"])
    assert len(alone.entries) == 1 and not any("class pictures" in note for note in notes)


def test_a_finished_set_is_recognised_and_taken_as_it_is(workspace: Workspace, tmp_path: Path) -> None:
    files = lookalikes(tmp_path / "ready", 3)
    for file in files:
        Image.open(file).resize((SIZE_PX * 4, SIZE_PX * 4)).save(file.with_suffix(".png"))
        file.with_suffix(".txt").write_text(f"sks {file.stem}")
        file.unlink()
    _, notes, _ = cropped(workspace, [tmp_path / "ready"], size_px=SIZE_PX * 4)
    assert any("--take-as-is" in note for note in notes)
    shutil.copy(HOPPER, tmp_path / "ready")
    whole, notes, events = cropped(
        workspace, [tmp_path / "ready"], size_px=SIZE_PX * 4, take_as_is=True, dataset="whole"
    )
    assert not any("--take-as-is" in note for note in notes)
    assert captions(whole) == {f"p{number}.png": f"sks p{number}" for number in range(3)}
    for entry in whole.entries:
        original = np.asarray(Image.open(tmp_path / "ready" / entry.source))
        assert np.array_equal(np.asarray(Image.open(whole.path(entry))), original)
    (skipped,) = [event for event in events if isinstance(event, Skipped)]
    assert "no square" in skipped.reason and "grace_hopper.jpg" in skipped.reason


def test_as_it_is_means_pictures_without_a_face_too(workspace: Workspace, tmp_path: Path) -> None:
    """They are named, never set aside, and count neither for likeness nor for what the faces lack."""
    files = lookalikes(tmp_path / "ready", 4)
    cup = tmp_path / "ready" / "cup.png"
    Image.open(COFFEE).convert("RGB").crop((150, 0, 550, 400)).resize((900, 900)).save(cup)
    for file in (*files, cup):
        file.with_suffix(".txt").write_text(f"sks {file.stem}")
    _, _, events = cropped(workspace, [tmp_path / "ready"], size_px=304)
    assert [event.source for event in events if isinstance(event, Skipped)] == ["cup.png"]
    whole, notes, events = cropped(
        workspace, [tmp_path / "ready"], size_px=304, take_as_is=True, hold_out=True, dataset="whole"
    )
    assert not [event for event in events if isinstance(event, Skipped)]
    assert captions(whole) == {file.name: f"sks {file.stem}" for file in (*files, cup)}
    (note,) = [note for note in notes if "No face was found" in note]
    assert "cup.png" in note and "Likeness isn't measured" in note and not any(f.name in note for f in files)
    assert not any("someone else" in note or note.startswith("cup.png") for note in notes)
    assert whole.held_out_photographs and "cup.png" not in whole.held_out_photographs
    (entry,) = [entry for entry in whole.entries if entry.source == "cup.png"]
    assert (
        entry.box == (0, 0, 900, 900) and entry.agreement is None and entry.warnings == ("no face was found",)
    )
    assert sum(cover(whole.entries).counts.values()) == 4 - len(whole.held_out_photographs)
    assert not any(entry.file in sentence for sentence in cover(whole.entries).advice)
    assert reference_of(whole).photographs == 4
    with pytest.raises(BadPhoto, match="no face was found"):
        whole.set_framing(entry.file, "medium")
    assert whole.set_box(entry.file, (0, 0, 400, 400)).box == (0, 0, 400, 400)


def test_a_set_without_any_face_is_taken_as_it_is(workspace: Workspace, tmp_path: Path) -> None:
    for number in range(3):
        cut = Image.open(COFFEE).convert("RGB").crop((40 * number, 0, 40 * number + 400, 400))
        cut.save(tmp_path / f"{number}.png")
    files = [tmp_path / f"{number}.png" for number in range(3)]
    whole, notes, _ = cropped(workspace, files, size_px=304, take_as_is=True, hold_out=True)
    assert len(whole.entries) == 3 and not whole.held_out_photographs
    assert any("0.png, 1.png, 2.png" in note for note in notes) and not any(
        "person" in note for note in notes
    )


def test_an_exported_folder_is_imported_with_its_edits(workspace: Workspace, tmp_path: Path) -> None:
    made, _, _ = cropped(workspace, [ASTRONAUT], out=tmp_path / "out")
    (tmp_path / "out" / "images" / "0001.txt").write_bytes("sks в шляпе".encode("cp1251"))
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for file in (tmp_path / "out").rglob("*"):
            archive.write(file, Path("anna") / file.relative_to(tmp_path / "out"))
    for source in (tmp_path / "out", tmp_path / "packed.zip"):
        back, notes, _ = cropped(workspace, [source], dataset="back")
        assert [entry.box for entry in back.entries] == [entry.box for entry in made.entries]
        assert back.entries[0].caption == "sks в шляпе"
        assert any("0001.txt" in note for note in notes)
    own, _, _ = cropped(workspace, [made.folder], dataset="again")
    assert own.entries == made.entries and own.folder != made.folder
