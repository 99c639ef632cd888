"""Files that the version before this house wrote (26 November 2026, 31976c5) load, and its stopped training goes on.

version_before/make.py made them with that version's own code.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from dreamgui.config import CompareJob, ControlJob, CropJob, TrainJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.evaluate.repeat import read_report
from dreamgui.events import Cell, ControlMap, Cropped, Done, Loss, Note, Saved
from dreamgui.jobs.job import Job, load
from dreamgui.library.items import items
from dreamgui.models.catalog.cards import MODEL_CARD, ModelCard, read_card
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.models.lora.adapters import read_lora
from dreamgui.models.manager import Models
from dreamgui.presets.files import read_preset
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base, tiny_unet

WRITTEN = Path(__file__).parent / "version_before" / "home"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A copy of that version's workspace, as reading may write locks."""
    shutil.copytree(WRITTEN, tmp_path / "home")
    return Workspace(tmp_path / "home")


def job_of(workspace: Workspace, kind: str) -> Job:
    [folder] = (workspace.root / "jobs").glob(f"*-{kind}-*")
    return load(folder)


@pytest.mark.parametrize(
    ("kind", "model"),
    [("crop", CropJob), ("train", TrainJob), ("compare", CompareJob), ("control", ControlJob)],
)
def test_a_job_says_what_was_given_and_how_it_went(workspace: Workspace, kind: str, model: type) -> None:
    job = job_of(workspace, kind)
    given = json.loads((job.folder / "job.json").read_text())["job"]
    assert isinstance(job.config, model) and job.state == "done"
    assert job.config.model_dump(mode="json", include=set(given)) == given
    events = job.events()
    assert isinstance(events[-1], Done) and any(isinstance(event, Saved) for event in events)


def test_events_that_were_renamed_since_are_read(workspace: Workspace) -> None:
    assert '"event": "Hint"' in (job_of(workspace, "control").folder / "events.jsonl").read_text()
    events = job_of(workspace, "control").events()
    [found] = [event for event in events if isinstance(event, ControlMap)]
    assert found.control == "canny"
    assert [event.model for event in events if isinstance(event, Cell)] == ["tiny"]
    assert len([event for event in job_of(workspace, "crop").events() if isinstance(event, Cropped)]) == 5
    assert [event.step for event in job_of(workspace, "train").events() if isinstance(event, Loss)] == [1, 2]


def test_a_dataset_keeps_its_captions_and_near_duplicates(workspace: Workspace) -> None:
    assert '"twin": "0001.png"' in (workspace.place("datasets", "anna") / "dataset.json").read_text()
    dataset = Dataset.load(workspace.place("datasets", "anna"))
    assert [entry.file for entry in dataset.entries] == [f"000{number}.png" for number in range(1, 6)]
    assert not dataset.remarks and len(dataset.images()) == 4 and len(dataset.held_out()) == 1
    marked = {entry.file: entry.quality.near_duplicate for entry in dataset.entries if entry.quality}
    assert marked == {
        "0001.png": "",
        "0002.png": "",
        "0003.png": "0001.png",
        "0004.png": "0001.png",
        "0005.png": "",
    }
    dataset.set_caption("0001.png", "sks woman, outdoors")
    written = (dataset.folder / "dataset.json").read_text()
    assert '"near_duplicate": "0001.png"' in written and "twin" not in written


def test_cards_of_models_and_runs(workspace: Workspace) -> None:
    catalog = Catalog(workspace)
    tiny, portraits = (
        read_card(workspace.place("models", name) / MODEL_CARD, ModelCard) for name in ("tiny", "portraits")
    )
    assert tiny.recommended == {"generate": {"steps": 3, "guidance_scale": 5.0}}, "it was called draw"
    assert portraits.recommended["lora"]["learning_rate"] == 0.004
    run = catalog.run("anna")
    assert (run.kind, run.base, run.dataset, run.rank, run.alpha, run.steps, run.finished) == (
        "lora", "tiny", "anna", 2, 2.0, 2, True,
    )  # fmt: skip
    assert TrainJob.model_validate(run.job).run == "anna"
    settings = read_preset(workspace.place("runs", "anna") / "run.json").settings
    assert settings["rank"] == 2 and settings["prior_preservation"] is False
    assert read_lora(workspace.place("runs", "anna") / "pytorch_lora_weights.safetensors", tiny_unet()).layers


def test_a_report_can_be_generated_again(workspace: Workspace) -> None:
    earlier = read_report(Path("both"), "again", workspace)
    assert earlier.job.models == ("tiny", "anna") and earlier.job.report == "again"
    assert {model for model, _, _ in earlier.hashes} == {"tiny", "anna"}


def test_the_library_shows_all_of_it_and_nothing_broken(workspace: Workspace) -> None:
    found = {(item.kind, item.name): item for item in items(workspace)}
    there = {
        ("dataset", "anna"),
        ("run", "anna"),
        ("run", "stopped"),
        ("report", "both"),
        ("report", "edges"),
    }
    assert there <= set(found)
    assert not [found[key].fault for key in there if found[key].fault]


def test_a_training_that_was_stopped_goes_on(workspace: Workspace) -> None:
    make_tiny_base(workspace)
    events = list(
        train(TrainJob(run="stopped", resume=True), workspace, Models(workspace, torch.device("cpu")))
    )
    assert [event.step for event in events if isinstance(event, Loss)] == [1, 2, 3, 4]
    assert any(isinstance(event, Note) and "goes on after step 2" in event.text for event in events)
    assert Catalog(workspace).run("stopped").steps == 4
