"""Trash: nothing is lost before it is emptied, nothing in use is deleted, nothing outside is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock

from dreamgui.errors import AlreadyRunning, BadInput, UnknownName
from dreamgui.library.archive import archive
from dreamgui.library.cleaning import clean, sizes
from dreamgui.library.items import find, items
from dreamgui.library.trash import delete, empty, restore, trashed
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.workspace import Workspace
from tests.library.folders import add_checkpoint, add_dataset, add_export, add_run

DAY_SECONDS = 24 * 3600
ALL = [
    ("dataset", "anna"),
    ("base", "portraits"),
    ("run", "anna-lora"),
    ("checkpoint", "anna-lora/step-000005"),
    ("export", "anna-a1111.safetensors"),
    ("report", "first"),
]


def files(root: Path) -> dict[str, bytes]:
    found = [
        path for path in root.rglob("*") if path.is_file() and path.name not in (".lock", "library.json")
    ]
    names = {path.relative_to(root).as_posix(): path for path in found}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith(".claims/")}


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_what_is_restored_is_as_it_was(full: Workspace, kind: str, name: str) -> None:
    before, item = files(full.root), find(full, kind, name)
    gone = delete(full, item)
    assert gone.size_bytes >= item.size_bytes and (gone.kind, gone.name) == (kind, name)
    assert trashed(full) == [gone] and gone.id.endswith(f"-{kind}-{name.replace('/', '-')}")
    with pytest.raises(UnknownName):
        find(full, kind, name)
    assert restore(full, gone.id) == (gone, name, [])
    assert files(full.root) == before and trashed(full) == []


@pytest.mark.parametrize(("kind", "name"), [each for each in ALL if each[0] != "checkpoint"])
def test_a_taken_name_is_claimed_anew_and_told(full: Workspace, kind: str, name: str) -> None:
    gone = delete(full, find(full, kind, name))
    again = {"dataset": add_dataset, "run": add_run, "export": add_export}
    if kind in again:
        again[kind](full)
    else:
        (full.root / gone.place).mkdir()
        (full.root / gone.place / "x").write_text("x")
    there = files(full.root / gone.place)
    _, now, told = restore(full, gone.id)
    assert now == ("anna-a1111-2.safetensors" if kind == "export" else f"{name}-2")
    assert now in told[0] and find(full, kind, now).state == "done"
    assert files(full.root / gone.place) == there
    if kind == "run":
        assert Catalog(full).run(now).name == now
    if kind == "dataset":
        assert json.loads((full.root / "datasets/anna-2/dataset.json").read_bytes())["uploads"] == "anna-2"
        assert (full.root / "uploads/anna-2/0000.png").is_file()


def test_a_checkpoint_needs_its_run_and_its_place(full: Workspace) -> None:
    gone = delete(full, find(full, "checkpoint", "anna-lora/step-000005"))
    add_checkpoint(full.root / "runs/anna-lora", 5)
    with pytest.raises(BadInput, match="already"):
        restore(full, gone.id)
    run = delete(full, find(full, "run", "anna-lora"))
    with pytest.raises(BadInput, match="isn't there"):
        restore(full, gone.id)
    restore(full, run.id)
    delete(full, find(full, "checkpoint", "anna-lora/step-000005"))
    with FileLock(full.root / "runs/anna-lora/.lock"), pytest.raises(AlreadyRunning):
        restore(full, gone.id)
    restore(full, gone.id)
    assert find(full, "checkpoint", "anna-lora/step-000005").state == "done"


def test_what_a_training_uses_stays(full: Workspace) -> None:
    before = files(full.root)
    with FileLock(full.root / "runs/anna-lora/.lock"):
        for kind, name in ALL[:4]:
            with pytest.raises(AlreadyRunning):
                delete(full, find(full, kind, name))
    assert files(full.root) == before and trashed(full) == []


def test_photographs_that_two_datasets_have_stay(full: Workspace) -> None:
    add_dataset(full, "second", uploads="anna")
    delete(full, find(full, "dataset", "anna"))
    assert (full.root / "uploads/anna/0000.png").is_file()
    gone = delete(full, find(full, "dataset", "second"))
    assert not (full.root / "uploads/anna").exists()
    restore(full, gone.id)
    assert (full.root / "uploads/anna/0000.png").is_file()


def test_links_lead_out_and_what_they_lead_to_stays(full: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "photographs"
    outside.mkdir()
    (outside / "anna.jpg").write_bytes(b"mine")
    (full.root / "datasets/anna/linked").symlink_to(outside)
    (full.root / "reports/link").symlink_to(outside)
    for kind, name in (("dataset", "anna"), ("report", "link")):
        delete(full, find(full, kind, name))
    empty(full, older_than_days=0)
    assert (outside / "anna.jpg").read_bytes() == b"mine" and trashed(full) == []
    assert not list((full.root / "trash").iterdir())


def test_only_what_is_old_enough_is_emptied(full: Workspace) -> None:
    gone = [delete(full, find(full, kind, name)) for kind, name in (ALL[0], ALL[5])]
    now = max(each.deleted for each in gone)
    assert empty(full, now=now + 29 * DAY_SECONDS) == 0 and len(trashed(full)) == 2
    assert empty(full, now=now + 30 * DAY_SECONDS) == sum(each.size_bytes for each in gone)
    assert trashed(full) == []


def test_a_broken_entry_is_named_and_emptied(full: Workspace) -> None:
    gone = delete(full, find(full, "report", "first"))
    card = full.root / "trash" / gone.id / "trash.json"
    card.write_text("{")
    assert [each.kind for each in trashed(full)] == [""]
    with pytest.raises(BadInput, match="can't be read"):
        restore(full, gone.id)
    empty(full, older_than_days=0)
    assert trashed(full) == []


@pytest.mark.parametrize("trash_id", ["", "..", "../runs/anna-lora", "nothing"])
def test_only_what_is_in_the_trash_is_restored(full: Workspace, trash_id: str) -> None:
    delete(full, find(full, "report", "first"))
    with pytest.raises(UnknownName):
        restore(full, trash_id)


def test_a_second_deletion_of_one_name_has_a_place_of_its_own(full: Workspace) -> None:
    first = delete(full, find(full, "run", "anna-lora"))
    add_run(full)
    second = delete(full, find(full, "run", "anna-lora"))
    assert first.id != second.id and len(trashed(full)) == 2


def test_sizes_say_what_can_be_cleaned(full: Workspace) -> None:
    add_checkpoint(full.root / "runs/anna-lora", 15)
    (full.compiled / "kernels").mkdir(parents=True)
    (full.compiled / "kernels/one.so").write_bytes(b"3" * 70)
    found = items(full)
    told = sizes(full, found)
    assert told.by_kind["run"] == find(full, "run", "anna-lora").size_bytes
    assert told.by_kind["uploads"] == 10
    assert told.cleanable["compiled"] == 70 and told.cleanable["trash"] == 0
    old = told.cleanable["checkpoints"]
    assert clean(full, "checkpoints", found) == old > 100
    assert [item.name for item in items(full) if item.kind == "checkpoint"] == ["anna-lora/step-000015"]
    assert clean(full, "compiled", items(full)) == 70 and not full.compiled.exists()
    assert clean(full, "trash", items(full)) == old and trashed(full) == []


def test_a_running_training_keeps_checkpoints_and_cache(full: Workspace) -> None:
    (full.compiled).mkdir()
    with FileLock(full.root / "runs/anna-lora/.lock"):
        found = items(full)
        assert sizes(full, found).cleanable["checkpoints"] == 0
        with pytest.raises(AlreadyRunning):
            clean(full, "compiled", found)
    assert full.compiled.is_dir()


def test_a_zip_holds_the_item_and_nothing_private(full: Workspace, tmp_path: Path) -> None:
    import zipfile

    from dreamgui.library.labels import set_note

    for kind, name in (("run", "anna-lora"), ("export", "anna-a1111.safetensors")):
        set_note(find(full, kind, name), "private")
        item = find(full, kind, name)
        (item.folder.parent / "outside").write_text("x")
        with zipfile.ZipFile(archive(item, tmp_path / f"{kind}.zip")) as file:
            names = set(file.namelist())
        if kind == "export":
            assert names == {"anna-a1111.safetensors", "anna-a1111.certificate.json", "anna-a1111.README.md"}
        else:
            assert "anna-lora/run.json" in names and not any("library.json" in each for each in names)
