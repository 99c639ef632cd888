"""Generated pictures in the library: found with what made them, deleted, brought back, never renamed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from dreamgui.errors import BadInput
from dreamgui.library.items import find, items
from dreamgui.library.labels import rename, set_note
from dreamgui.library.latest import latest
from dreamgui.library.trash import delete, restore
from dreamgui.pictures.made import Made
from dreamgui.pictures.store import keep_picture, picture_name
from dreamgui.workspace import Workspace
from tests.library.folders import add_dataset, add_run


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def keep(workspace: Workspace, prompt: str = "a lighthouse", seed: int = 7) -> str:
    made = Made(prompt, "", 20, "dpm++", 5.0, seed, (64, 64), "portraits")
    return picture_name(keep_picture(workspace, Image.new("RGB", (64, 64)), made, {"model": "anna"}, {}))


def test_a_picture_is_an_item_with_its_prompt_and_model(workspace: Workspace) -> None:
    name = keep(workspace)
    (found,) = items(workspace, ["picture"])
    assert (found.kind, found.name, found.who, found.figures["Prompt"]) == (
        "picture",
        name,
        "anna",
        "a lighthouse",
    )
    assert found.thumbnail == found.folder and found.size_bytes == found.folder.stat().st_size


def test_the_newest_comes_first(workspace: Workspace) -> None:
    names = [keep(workspace, seed=seed) for seed in range(3)]
    for place, name in enumerate(names):
        os.utime(find(workspace, "picture", name).folder, (place, place))
    assert [item.name for item in items(workspace)] == names[::-1]
    assert [item.name for item in latest(workspace, 2)] == names[:0:-1]


def test_what_was_made_last_is_told_with_its_face(workspace: Workspace) -> None:
    add_dataset(workspace)
    run = add_run(workspace, "anna-lora")
    name = keep(workspace)
    for place, folder in enumerate((run, find(workspace, "picture", name).folder)):
        os.utime(folder / "run.json" if folder.is_dir() else folder, (9e9 + place, 9e9 + place))
    found = latest(workspace, 2)
    assert [(item.kind, item.name) for item in found] == [("picture", name), ("run", "anna-lora")]
    assert found[1].thumbnail == find(workspace, "run", "anna-lora").thumbnail is not None


def test_a_deleted_picture_comes_back_with_its_note(workspace: Workspace) -> None:
    name = keep(workspace)
    set_note(find(workspace, "picture", name), "for the wall")
    gone = delete(workspace, find(workspace, "picture", name))
    assert items(workspace) == []
    assert restore(workspace, gone.id)[1] == name
    assert find(workspace, "picture", name).note == "for the wall"


def test_one_that_comes_back_to_a_taken_name_gets_another_number(workspace: Workspace) -> None:
    name = keep(workspace)
    gone = delete(workspace, find(workspace, "picture", name))
    assert keep(workspace, "another") == name
    back = restore(workspace, gone.id)[1]
    assert back != name and find(workspace, "picture", back).figures["Prompt"] == "a lighthouse"
    assert find(workspace, "picture", name).figures["Prompt"] == "another"


def test_a_picture_keeps_its_name(workspace: Workspace) -> None:
    item = find(workspace, "picture", keep(workspace))
    with pytest.raises(BadInput, match="named after its day"):
        rename(workspace, item, "other")
