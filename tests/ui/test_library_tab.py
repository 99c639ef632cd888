"""The library tab: items are chosen, renamed, deleted, brought back, taken away, resumed; nothing outside is named."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from filelock import FileLock
from gradio_client import Client

from dreamgui.config import TrainJob
from dreamgui.errors import OutOfRange
from dreamgui.events import Loss, Note
from dreamgui.library.items import find, items
from dreamgui.library.trash import trashed
from dreamgui.services import Services
from dreamgui.training.resumable import CHECKPOINTS
from dreamgui.ui.build import create_ui
from dreamgui.ui.tabs.library import tab
from dreamgui.ui.tabs.library.keeping import Keeping
from dreamgui.ui.tabs.library.markup import details, log_tail, report_page, tiles
from dreamgui.ui.tabs.library.reuse import has_settings, settings_of
from dreamgui.ui.tabs.library.shelf import PAGE, Shelf
from dreamgui.workspace import write_json
from tests.library.folders import add_base, add_checkpoint, add_dataset, add_report, add_run
from tests.ui.conftest import Page
from tests.ui.fakes import fake_services


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Services with a dataset, a base, a report, and a run that was trained by a fake recipe."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    made = fake_services(tmp_path / "work", step_seconds=0.0)
    add_dataset(made.workspace)
    add_base(made.workspace)
    add_report(made.workspace)
    job = TrainJob(model="portraits", dataset="anna", run="anna-1", steps=20, rank=3, sample_every=10)
    made.jobs.submit(job).wait()
    return made


@pytest.fixture
def chosen(services: Services) -> Iterator[tab.Chosen]:
    with gr.Blocks():
        yield tab.Chosen(services)


def by_id(updates: dict[Any, Any]) -> dict[str, Any]:
    return {str(block.elem_id): value for block, value in updates.items() if getattr(block, "elem_id", None)}


def pick(chosen: tab.Chosen, key: str) -> dict[str, Any]:
    return by_id(chosen.pick(gr.SelectData(None, {"index": 0, "value": key})))


def test_a_finished_run_is_shown_whole(chosen: tab.Chosen) -> None:
    shown = pick(chosen, "run/anna-1")
    assert "anna-1" in shown["library-details"] and "portraits" in shown["library-details"]
    assert shown["library-loss"]["visible"] and shown["library-loss"]["x_lim"] == [0, 20]
    assert len(shown["library-loss"]["value"]) == 40
    assert shown["library-likeness"]["visible"] and len(shown["library-likeness"]["value"]) == 3
    assert len(shown["library-pictures"]["value"]) == 3 * len(TrainJob.model_fields["sample_prompts"].default)
    assert "<dt>rank</dt><dd>3</dd>" in shown["library-settings"]
    assert "Saved the run anna-1." in shown["library-settings"]
    assert shown["library-use"]["visible"] and not shown["library-resume"]["visible"]


def test_the_next_item_clears_what_the_last_one_showed(chosen: tab.Chosen) -> None:
    pick(chosen, "run/anna-1")
    shown = pick(chosen, "dataset/anna")
    assert not shown["library-loss"]["visible"] and len(shown["library-pictures"]["value"]) == 1
    shown = pick(chosen, "report/first")
    assert not shown["library-pictures"]["visible"] and not shown["library-use"]["visible"]
    assert 'sandbox=""' in shown["library-report"] and "&lt;h1&gt;first" in shown["library-report"]
    assert pick(chosen, "base/portraits")["library-report"] == ""


@pytest.mark.parametrize(
    "key", ["run/../runs/anna-1", "run//etc/passwd", "", "run/", "jobs/anna", "run/gone", "/etc/passwd"]
)
def test_only_items_of_the_library_are_named(chosen: tab.Chosen, services: Services, key: str) -> None:
    before = items(services.workspace)
    for action in (
        chosen.remove,
        chosen.zipped,
        lambda key: chosen.save(key, "a", "", ""),
        lambda key: pick(chosen, key),
    ):
        with pytest.raises(gr.Error, match="There is no"):
            action(key)
    assert items(services.workspace) == before


def test_deleting_and_undoing(chosen: tab.Chosen, services: Services) -> None:
    before = find(services.workspace, "run", "anna-1")
    gone = chosen.remove("run/anna-1")
    assert by_id(gone)["library-undo-row"]["visible"] and not by_id(gone)["library-chosen"]["visible"]
    trash_id = gone[chosen._trash_id]
    assert [each.id for each in trashed(services.workspace)] == [trash_id]
    back = chosen.undo(trash_id)
    assert not by_id(back)["library-undo-row"]["visible"]
    assert find(services.workspace, "run", "anna-1").figures == before.figures
    assert pick(chosen, "run/anna-1")["library-loss"]["visible"]


def test_what_is_trained_now_is_not_deleted(chosen: tab.Chosen, services: Services) -> None:
    with FileLock(services.workspace.root / "runs/anna-1/.lock"):
        for key in ("run/anna-1", "base/portraits", "dataset/anna"):
            with pytest.raises(gr.Error, match="being trained"):
                chosen.remove(key)
    assert trashed(services.workspace) == []


def test_name_tags_and_note_are_kept(chosen: tab.Chosen, services: Services) -> None:
    shown = chosen.save("run/anna-1", "Best of Anna", "good, , for Ben", "keep <this>")
    assert shown[chosen._key] == "run/Best-of-Anna"
    item = find(services.workspace, "run", "Best-of-Anna")
    assert item.tags == ("good", "for Ben") and item.note == "keep <this>"
    assert "&lt;this&gt;" in by_id(shown)["library-details"]
    assert by_id(shown)["library-tags"] == "good, for Ben"
    assert pick(chosen, "run/Best-of-Anna")["library-loss"]["visible"]
    with pytest.raises(gr.Error, match="can't be a name"):
        chosen.save("run/Best-of-Anna", "..", "", "")


def test_a_checkpoint_keeps_its_name(chosen: tab.Chosen, services: Services) -> None:
    add_checkpoint(services.workspace.root / "runs/anna-1", 10)
    shown = pick(chosen, "checkpoint/anna-1/step-000010")
    assert shown["library-name"]["interactive"] is False and shown["library-resume"]["visible"]
    chosen.save("checkpoint/anna-1/step-000010", "else", "a", "")
    assert find(services.workspace, "checkpoint", "anna-1/step-000010").tags == ("a",)


def test_a_download_is_the_item_without_checkpoints(
    chosen: tab.Chosen, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_checkpoint(services.workspace.root / "runs/anna-1", 10)
    with zipfile.ZipFile(chosen.zipped("run/anna-1")) as file:
        names = file.namelist()
    assert "anna-1/run.json" in names and not any(CHECKPOINTS in name for name in names)
    with zipfile.ZipFile(chosen.zipped("checkpoint/anna-1/step-000010")) as file:
        assert "step-000010/training.safetensors" in file.namelist()
    monkeypatch.setattr(tab, "LARGEST_DOWNLOAD_BYTES", 10)
    with pytest.raises(gr.Error, match="a browser downloads at most"):
        chosen.zipped("run/anna-1")


@pytest.mark.parametrize(("key", "step"), [("run/anna-1", None), ("checkpoint/anna-1/step-000010", 10)])
def test_resuming_starts_the_run_from_its_checkpoint(
    chosen: tab.Chosen, services: Services, key: str, step: int | None
) -> None:
    for each in (10, 15):
        add_checkpoint(services.workspace.root / "runs/anna-1", each)
    assert pick(chosen, key)["library-resume"]["visible"]
    chosen.resumed(key, "somebody")
    job = services.jobs.latest("train")
    assert job and isinstance(job.config, TrainJob) and job.owner == "somebody"
    assert (job.config.run, job.config.resume, job.config.resume_from) == ("anna-1", True, step or 0)
    job.wait()


def test_a_runs_settings_are_those_of_its_training(services: Services) -> None:
    settings, told = settings_of(services, find(services.workspace, "run", "anna-1"))
    assert (settings["model"], settings["dataset"], settings["steps"], settings["rank"]) == (
        "portraits",
        "anna",
        20,
        3,
    )
    assert not {"run", "resume", "resume_from"} & settings.keys() and len(told) == 1
    (services.workspace.root / "datasets/anna").rename(services.workspace.root / "gone")
    settings, told = settings_of(services, find(services.workspace, "run", "anna-1"))
    assert "dataset" not in settings and "'anna' any more" in told[1]
    base = find(services.workspace, "base", "portraits")
    assert settings_of(services, base) == ({"model": "portraits"}, [])


def test_a_run_that_was_not_trained_has_no_settings(services: Services) -> None:
    run = services.workspace.root / "runs/anna-1/run.json"
    assert has_settings(find(services.workspace, "run", "anna-1"))
    write_json(run, json.loads(run.read_bytes()) | {"job": {}})
    assert not has_settings(find(services.workspace, "run", "anna-1"))
    write_json(run, json.loads(run.read_bytes()) | {"job": {"dataset": "anna", "steps": -1}})
    with pytest.raises(OutOfRange, match="steps"):
        settings_of(services, find(services.workspace, "run", "anna-1"))


def test_the_filter(services: Services) -> None:
    add_checkpoint(services.workspace.root / "runs/anna-1", 10)
    with gr.Blocks():
        shelf = Shelf(services)

    def found(kind: str, words: str) -> list[str]:
        html = by_id(shelf.first(kind, words))["library-grid"]["html"]
        return sorted(part.split("/")[0] for part in html.split('data-item="')[1:])

    assert found("", "") == ["base", "dataset", "report", "run"]
    assert found("checkpoint", "") == ["checkpoint"]
    assert found("", "RUN/ sks") == ["run"]
    assert found("dataset", "portraits") == [] == found("nothing", "")


def test_more_than_a_page_is_shown_on_request(services: Services) -> None:
    for number in range(PAGE):
        add_run(services.workspace, f"run-{number}")
    with gr.Blocks():
        shelf = Shelf(services)
    first = by_id(shelf.first("run", None))
    assert first["library-grid"]["html"].count("data-item=") == PAGE
    assert first["library-more"] == gr.update(visible=True, value=f"Show more of {PAGE + 1}")
    rest = by_id(shelf._further("run", "", PAGE))
    assert (
        rest["library-grid"]["html"].count("data-item=") == PAGE + 1 and not rest["library-more"]["visible"]
    )
    assert "Nothing matches" in by_id(shelf.first("run", "nobody"))["library-grid"]["html"]


def test_broken_items_are_shown_and_deleted(chosen: tab.Chosen, services: Services) -> None:
    (services.workspace.root / "runs/anna-1/run.json").write_text("{")
    (services.workspace.root / "datasets/anna/images/0001.png").write_text("no picture")
    html = tiles(items(services.workspace), "")["html"]
    assert "Broken" in html and 'data-item="run/anna-1"' in html
    shown = pick(chosen, "run/anna-1")
    assert "run.json can" in shown["library-details"] and not shown["library-use"]["visible"]
    chosen.remove("run/anna-1")
    (services.workspace.root / "datasets/anna/dataset.json").unlink()
    assert "dataset.json is missing" in pick(chosen, "dataset/anna")["library-details"]


def test_all_text_is_escaped(services: Services) -> None:
    write_json(services.workspace.root / "runs/anna-1/library.json", {"tags": ["<b>"], "note": "<script>"})
    item = find(services.workspace, "run", "anna-1")
    texts = [details(item), log_tail([Note("<i>")]), report_page('"><script>')]
    assert not any(bad in text for text in texts for bad in ("<b>,", "<script>", "<i>"))
    assert log_tail([Loss(1, 0.1, None, 1e-4, 1.0, 0.1)]) == ""


def test_trash_and_sizes(services: Services) -> None:
    add_checkpoint(services.workspace.root / "runs/anna-1", 5)
    add_checkpoint(services.workspace.root / "runs/anna-1", 10)
    with gr.Blocks():
        keeping, chosen = Keeping(services), tab.Chosen(services)
    chosen.remove("report/first")
    shown = by_id(keeping.show())
    ((label, trash_id),) = shown["library-deleted"]["choices"]
    assert label.startswith("Report first, ") and shown["library-deleted"]["value"] == trash_id
    assert "Trash" in shown["library-sizes-table"] and "Older checkpoints" in shown["library-sizes-table"]
    keeping._restore(trash_id)
    assert find(services.workspace, "report", "first")
    assert by_id(keeping.show())["library-deleted"]["value"] is None
    with pytest.raises(gr.Error):
        keeping._restore(None)


def test_the_tab_stands_behind_compare(tmp_path: Path) -> None:
    blocks = create_ui(fake_services(tmp_path))
    tabs = [block.id for block in blocks.blocks.values() if isinstance(block, gr.Tab)]
    assert tabs[tabs.index("compare") + 1] == "library"


def test_programs_list_the_library(page: Page) -> None:
    add_run(page.services.workspace)
    (listed,) = Client(page.url, verbose=False).predict(api_name="/library")
    assert (listed["kind"], listed["name"], listed["who"]) == ("run", "anna-lora", "sks woman, anna")
    assert listed["figures"]["Steps"] == "20"
    assert str(page.services.workspace.root) not in json.dumps(listed)
