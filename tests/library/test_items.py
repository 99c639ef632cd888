"""Items: figures, faces, states, what is broken, names of every script, and many runs."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from filelock import FileLock

from dreamgui.errors import UnknownName
from dreamgui.library import folders
from dreamgui.library.item import Item
from dreamgui.library.items import find, items
from dreamgui.workspace import Workspace, write_json
from tests.library.folders import (
    add_base,
    add_checkpoint,
    add_dataset,
    add_export,
    add_job,
    add_report,
    add_run,
    add_sample,
)


def by_name(workspace: Workspace) -> dict[tuple[str, str], Item]:
    return {(item.kind, item.name): item for item in items(workspace)}


def test_one_of_each_kind_with_its_figures(full: Workspace) -> None:
    found = by_name(full)
    assert set(found) == {
        ("dataset", "anna"),
        ("base", "portraits"),
        ("run", "anna-lora"),
        ("checkpoint", "anna-lora/step-000005"),
        ("checkpoint", "anna-lora/step-000010"),
        ("export", "anna-a1111.safetensors"),
        ("report", "first"),
    }
    assert all(item.state == "done" and not item.fault and item.made > 0 for item in found.values())
    run = found["run", "anna-lora"]
    assert run.who == "sks woman, anna"
    assert run.figures == {
        "Method": "LoRA, rank 4", "Base": "portraits", "Steps": "20", "Learning rate": "0.0001", "Loss": "0.1250",
        "Likeness": "0.62",
    }  # fmt: skip
    face = full.root / "datasets/anna/images/0001.png"
    assert run.thumbnail == found["dataset", "anna"].thumbnail == face
    assert found["dataset", "anna"].who == "sks woman"
    assert found["dataset", "anna"].figures["Crops"] == "1"
    assert found["checkpoint", "anna-lora/step-000010"].figures == {"Step": "10"}
    assert found["export", "anna-a1111.safetensors"].figures["Check"] == "passed"
    assert found["report", "first"].who == "anna"
    assert find(full, "run", "anna-lora") == run


def test_sizes_are_those_of_all_files(full: Workspace) -> None:
    found = by_name(full)
    run = full.root / "runs/anna-lora"
    assert found["run", "anna-lora"].size_bytes == sum(
        path.stat().st_size for path in run.rglob("*") if path.is_file()
    )
    export = full.root / "exports"
    assert found["export", "anna-a1111.safetensors"].size_bytes == sum(
        path.stat().st_size for path in export.iterdir()
    )


def test_a_size_follows_the_folder_and_is_kept(bare: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run = add_run(bare, checkpoints=(5,))
    for folder in (run, run / "checkpoints", run / "checkpoints/step-000005"):
        os.utime(folder, (1, 1))
    before = folders.weight(run)
    scanned: list[str] = []
    scan = os.scandir
    monkeypatch.setattr(folders.os, "scandir", lambda path: scanned.append(path) or scan(path))
    assert folders.weight(run) == before and not scanned
    (run / "checkpoints/step-000005/more").write_bytes(b"12345")
    assert folders.weight(run).size_bytes == before.size_bytes + 5
    assert scanned == [str(run / "checkpoints/step-000005")]


UNET = "models/portraits/unet/diffusion_pytorch_model.safetensors"
OWN_FILES = [
    ("dataset", "anna", "datasets/anna/dataset.json", "dataset.json"),
    ("base", "portraits", "models/portraits/dreamgui.json", "dreamgui.json"),
    ("run", "anna-lora", "runs/anna-lora/run.json", "run.json"),
    (
        "checkpoint",
        "anna-lora/step-000010",
        "runs/anna-lora/checkpoints/step-000010/checkpoint.json",
        "whole",
    ),
    ("export", "anna-a1111.safetensors", "exports/anna-a1111.certificate.json", "certificate"),
    ("report", "first", "reports/first/report.json", "report.json"),
]
CONTENTS = [None, b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000]
BROKEN = [
    *((*each, content) for each in OWN_FILES for content in CONTENTS),
    *((*each, b'{"a": 1}') for each in OWN_FILES[:4]),
    ("base", "portraits", UNET, "is missing", None),
]


@pytest.mark.parametrize(("kind", "name", "file", "fault", "content"), BROKEN)
def test_what_is_broken_is_an_item_and_says_so(
    full: Workspace, kind: str, name: str, file: str, fault: str, content: bytes | None
) -> None:
    (full.root / file).unlink()
    if content is not None:
        (full.root / file).write_bytes(content)
    item = by_name(full)[kind, name]
    assert item.state == "broken" and fault in item.fault
    assert len(by_name(full)) == 7


def test_claimed_names_and_stray_files_are_no_items(bare: Workspace) -> None:
    bare.fresh("runs", "claimed")
    (bare.root / "runs/.half").mkdir()
    (bare.root / "runs/stray.txt").write_text("x")
    assert items(bare) == []


def test_names_decompose_and_are_found_either_way(bare: Workspace) -> None:
    composed, decomposed = unicodedata.normalize("NFC", "Zoë"), unicodedata.normalize("NFD", "Zoë")
    add_run(bare, decomposed)
    add_dataset(bare, decomposed)
    assert {item.name for item in items(bare)} == {composed}
    for name in (composed, decomposed):
        assert find(bare, "run", name).folder.name == decomposed


@pytest.mark.parametrize(
    ("kind", "name"), [("run", "../runs/anna-lora"), ("run", ""), ("nothing", "anna"), ("run", "/etc")]
)
def test_what_the_list_does_not_hold_is_unknown(full: Workspace, kind: str, name: str) -> None:
    with pytest.raises(UnknownName):
        find(full, kind, name)


def test_states_of_a_run(bare: Workspace) -> None:
    run = add_run(bare, steps=12)
    assert find(bare, "run", "anna-lora").state == "stopped"
    assert find(bare, "run", "anna-lora").figures["Steps"] == "12 of 20"
    with FileLock(run / ".lock"):
        assert find(bare, "run", "anna-lora").state == "running"
        (run / "run.json").unlink()
        assert find(bare, "run", "anna-lora").state == "running"
    assert find(bare, "run", "anna-lora").state == "broken"


def test_a_run_without_its_dataset_shows_its_last_sample(bare: Workspace) -> None:
    add_run(bare)
    job = add_job(bare, 1, "anna-lora", range(1, 3))
    assert find(bare, "run", "anna-lora").thumbnail is None
    first, second = add_sample(job, 1), add_sample(job, 2)
    os.utime(job / "events.jsonl", (5, 5))
    assert find(bare, "run", "anna-lora").thumbnail == second
    second.unlink()
    os.utime(job / "events.jsonl", (6, 6))
    assert find(bare, "run", "anna-lora").thumbnail == first


def test_two_hundred_runs_read_each_folder_once(bare: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    add_dataset(bare)
    for number in range(200):
        add_checkpoint(add_run(bare, f"run-{number}"), 5)
    for path in [*bare.root.rglob("*")]:
        os.utime(path, (1, 1))
    assert len(items(bare)) == 401
    reads: list[Path] = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or read(path))
    assert len(items(bare)) == 401
    assert not [path for path in reads if path.name in ("run.json", "dataset.json")]


def test_newest_comes_first(bare: Workspace) -> None:
    for number, folder in enumerate((add_run(bare, "b"), add_run(bare, "a"))):
        os.utime(folder / "run.json", (number + 10, number + 10))
    os.utime(add_base(bare, "c") / "dreamgui.json", (1, 1))
    os.utime(add_export(bare), (5, 5))
    os.utime(add_report(bare) / "report.json", (7, 7))
    assert [item.kind for item in items(bare)] == ["run", "run", "report", "export", "base"]
    assert [item.name for item in items(bare)][:2] == ["a", "b"]


def test_a_sweep_that_was_broken_off_is_stopped(bare: Workspace) -> None:
    folder = bare.root / "reports/sweep"
    folder.mkdir()
    write_json(folder / "queue.json", [["a", "waiting"]])
    assert find(bare, "report", "sweep").state == "stopped"
