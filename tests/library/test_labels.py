"""Names, tags and notes: what refers to an item follows, and what is in use stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock

from dreamgui.errors import AlreadyRunning, BadInput, OutOfRange
from dreamgui.library.items import find
from dreamgui.library.labels import rename, set_note, set_tags
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.workspace import Workspace, read_json, write_json
from tests.library.folders import add_dataset, add_job, add_report, add_run

EXPORT = "anna-a1111.safetensors"


def test_a_renamed_run_is_whole_and_keeps_its_time(full: Workspace) -> None:
    before = find(full, "run", "anna-lora")
    assert rename(full, before, "Anna, best") == (
        "Anna-best",
        ["It is called Anna-best: 'Anna, best' can't be a folder's name."],
    )
    after = find(full, "run", "Anna-best")
    assert (after.made, after.who) == (before.made, before.who)
    card = Catalog(full).run("Anna-best")
    assert card.name == card.job["run"] == "Anna-best"
    assert not before.folder.exists()
    assert find(full, "checkpoint", "Anna-best/step-000010").run == "Anna-best"


def test_a_datasets_runs_follow_it_and_others_stay(full: Workspace) -> None:
    other = add_run(full, "other")
    data = json.loads((other / "run.json").read_bytes())
    write_json(other / "run.json", data | {"dataset": "ben", "job": data["job"] | {"dataset": "ben"}})
    assert rename(full, find(full, "dataset", "anna"), "zoë")[0] == "zoë"
    card = Catalog(full).run("anna-lora")
    assert card.dataset == card.job["dataset"] == "zoë"
    assert find(full, "run", "anna-lora").thumbnail == full.root / "datasets/zoë/images/0001.png"
    assert Catalog(full).run("other").dataset == "ben"


def test_a_bases_runs_follow_it(full: Workspace) -> None:
    rename(full, find(full, "base", "portraits"), "faces")
    card = Catalog(full).run("anna-lora")
    assert card.base == card.job["model"] == "faces"
    assert json.loads((full.root / "models/faces/dreamgui.json").read_bytes())["name"] == "faces"


def test_an_exports_files_go_together(full: Workspace) -> None:
    set_note(find(full, "export", EXPORT), "for Ben")
    assert rename(full, find(full, "export", EXPORT), "mine")[0] == "mine.safetensors"
    item = find(full, "export", "mine.safetensors")
    assert item.note == "for Ben" and item.state == "done"
    names = {path.name for path in (full.root / "exports").iterdir()}
    assert names == {"mine.safetensors", "mine.certificate.json", "mine.README.md", "mine.library.json"}
    proof = json.loads((full.root / "exports/mine.certificate.json").read_bytes())
    assert list(proof["files"]) == ["mine.safetensors"]


def test_a_taken_name_gets_a_number_and_is_told(full: Workspace) -> None:
    add_run(full, "taken")
    name, told = rename(full, find(full, "run", "anna-lora"), "taken")
    assert name == "taken-2" and "taken-2" in told[0]
    assert find(full, "run", "taken").folder != find(full, "run", "taken-2").folder


def test_its_own_name_changes_nothing(full: Workspace) -> None:
    before = find(full, "report", "first")
    assert rename(full, before, " first ") == ("first", [])
    assert find(full, "report", "first") == before


@pytest.mark.parametrize("wanted", ["", "..", "///", "con"])
def test_a_name_that_is_no_folder_is_refused(full: Workspace, wanted: str) -> None:
    with pytest.raises(BadInput):
        rename(full, find(full, "run", "anna-lora"), wanted)
    assert find(full, "run", "anna-lora").state == "done"
    with pytest.raises(BadInput, match="its step"):
        rename(full, find(full, "checkpoint", "anna-lora/step-000005"), "x")


def test_what_a_training_uses_keeps_its_name(full: Workspace) -> None:
    with FileLock(full.root / "runs/anna-lora/.lock"):
        for kind, name in (("run", "anna-lora"), ("dataset", "anna"), ("base", "portraits")):
            with pytest.raises(AlreadyRunning):
                rename(full, find(full, kind, name), "else")
    assert rename(full, find(full, "run", "anna-lora"), "else")[0] == "else"


def test_what_a_waiting_job_names_keeps_its_name(full: Workspace) -> None:
    job = add_job(full, 1, "none", range(0))
    write_json(
        job / "job.json", {"kind": "compare", "owner": "", "job": {"models": ["portraits", "anna-lora"]}}
    )
    with FileLock(job / ".lock"):
        with pytest.raises(AlreadyRunning, match=job.name):
            rename(full, find(full, "run", "anna-lora"), "else")
        rename(full, find(full, "report", "first"), "second")
    rename(full, find(full, "run", "anna-lora"), "else")


def test_tags_and_notes_are_kept_beside_the_item(full: Workspace) -> None:
    for kind, name in (
        ("run", "anna-lora"),
        ("dataset", "anna"),
        ("export", EXPORT),
        ("checkpoint", "anna-lora/step-000005"),
    ):
        set_tags(find(full, kind, name), ["best", " for  Ben ", "best", ""])
        set_note(find(full, kind, name), "  the one\nto keep ")
        item = find(full, kind, name)
        assert item.tags == ("best", "for Ben") and item.note == "the one\nto keep"
        set_tags(item, [])
        assert find(full, kind, name).tags == () and find(full, kind, name).note


def test_long_marks_are_refused_and_broken_ones_are_none(full: Workspace) -> None:
    run = find(full, "run", "anna-lora")
    for change in (
        lambda: set_note(run, "x" * 2001),
        lambda: set_tags(run, ["x" * 41]),
        lambda: set_tags(run, map(str, range(21))),
    ):
        with pytest.raises(OutOfRange):
            change()
    assert not Path(run.folder / "library.json").exists()
    (run.folder / "library.json").write_text("[]")
    assert find(full, "run", "anna-lora").tags == ()


def test_a_dataset_named_by_two_spellings_is_one(bare: Workspace) -> None:
    import unicodedata

    add_dataset(bare, unicodedata.normalize("NFD", "Zoë"))
    assert rename(bare, find(bare, "dataset", "Zoë"), "Zoë") == ("Zoë", [])


def test_reports_and_sweep_queues_follow_a_renamed_run(full: Workspace) -> None:
    """Its likeness stays its own, and a sweep's table finds it; the report's page is as it was."""
    report = full.root / "reports" / "swept"
    report.mkdir(parents=True)
    rows = [{"run": "anna-lora", "likeness": 0.5}, {"run": "other", "likeness": 0.25}]
    models = [{"name": "anna-lora@20", "likeness": 0.75}]
    settings = {"models": ["portraits", "anna-lora"], "dataset": "anna-lora"}
    write_json(report / "report.json", {"rows": rows, "models": models, "settings": settings})
    write_json(report / "queue.json", [["anna-lora", "done"], ["other", "waiting"]])
    (report / "index.html").write_text("anna-lora")
    rename(full, find(full, "run", "anna-lora"), "best")
    now = read_json(report / "report.json")
    assert now["rows"] == [rows[0] | {"run": "best"}, rows[1]] and now["models"][0]["name"] == "best@20"
    assert now["settings"] == {"models": ["portraits", "best"], "dataset": "anna-lora"}
    assert read_json(report / "queue.json") == [["best", "done"], ["other", "waiting"]]
    assert (report / "index.html").read_text() == "anna-lora"


def test_reports_follow_a_renamed_dataset(full: Workspace) -> None:
    report = add_report(full, "measured")
    rename(full, find(full, "dataset", "anna"), "her")
    assert read_json(report / "report.json")["settings"]["dataset"] == "her"
