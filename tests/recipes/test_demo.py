"""The whole demo, quick, on a tiny bundle of random weights and drawn photographs; and stopping it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from dreamgui.config import COMPARE_PROMPTS, DemoJob
from dreamgui.errors import BadInput, StopRequested
from dreamgui.events import ControlMap, Event, Loss, Note, Progress, Saved
from dreamgui.jobs.stages import Stages
from dreamgui.models.manager import Models
from dreamgui.recipes.demo import demo
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base, make_tiny_bundle, make_tiny_controlnet

DRAWER = Path(__file__).parents[2] / "tools" / "demo_model" / "make_photos.py"
MODELS = ["portraits", "demo-unet", "demo-unet-no-prior", "demo-lora-4", "demo-lora-8", "demo-lora-16"]
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """A manager whose assets hold a tiny demo model with both ControlNets and eight drawn photographs."""
    root = tmp_path_factory.mktemp("demo")
    base = make_tiny_base(Workspace(root / "made"))
    for kind in ("canny", "pose"):
        make_tiny_controlnet(base, kind)
    bundle = make_tiny_bundle(base, root / "assets")
    for name in ("models", "sd15"):
        if not (root / "assets" / name).exists():
            (root / "assets" / name).symlink_to(Path("assets").absolute() / name)
    shutil.rmtree(bundle / "photos")
    subprocess.run([sys.executable, DRAWER, "--count", "8", "--out", bundle / "photos"], check=True)
    card = {"size_px": 64, "recommended": {"unet": {"learning_rate": 1e-4}, "unet_without_prior": {}}}
    (bundle / "card.json").write_text(json.dumps(card))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dreamgui.assets.ASSETS", root / "assets")
        yield Models(Workspace(root / "work"), torch.device("cpu"))


@pytest.fixture(scope="module")
def events(models: Models, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    out = tmp_path_factory.mktemp("out") / "report"
    return list(demo(DemoJob(out=out, quick=True, seed=2), models.catalog.workspace, models))


@pytest.fixture(scope="module")
def out(events: list[Event]) -> Path:
    saved = events[-1]
    assert isinstance(saved, Saved) and saved.what == "report"
    return saved.path


def test_report_has_the_promised_keys(out: Path) -> None:
    data = json.loads((out / "report.json").read_text())
    assert [row["name"] for row in data["models"]] == MODELS
    assert [(row["kind"], row["rank"]) for row in data["models"]] == [
        ("base", None), ("unet", None), ("unet", None), ("lora", 4), ("lora", 8), ("lora", 16),
    ]  # fmt: skip
    assert [row["prior_preservation"] for row in data["models"]] == [None, True, False, True, True, True]
    for row in data["models"]:
        trained = row["kind"] != "base"
        assert (row["learning_rate"] is not None) == trained and row["steps"] == 3 * trained
        assert row["file_bytes"] > 0 and row["seconds"] >= 0 and "likeness" in row
    assert data["prompts"] == list(COMPARE_PROMPTS) and data["seed"] == 2
    assert len(data["images"]) == 6 * 5 and {row["seed"] for row in data["images"]} == {2, 3, 4, 5, 6}
    assert {(row["map"], row["model"]) for row in data["control"]} == {
        (kind, model) for kind in ("canny", "pose") for model in ("portraits", "demo-unet", "demo-lora-4")
    }
    assert data["versions"]["torch"] and len(data["times"]) == 11 and len(data["seconds_a_step"]) == 5


def test_every_picture_lies_in_the_folder(out: Path) -> None:
    data = json.loads((out / "report.json").read_text())
    for row in [*data["images"], *data["class_images"], *data["control"]]:
        assert Image.open(out / row["path"]).size == (64, 64)
    readme = (out / "README.md").read_text()
    for model in MODELS:
        assert model in readme
    page = (out / "index.html").read_text()
    assert page.count("data:image/webp") > 30 + 10 and page.count("<svg") == 2


def test_stages_are_told_and_measured(events: list[Event]) -> None:
    told = [event.text for event in events if isinstance(event, Note) and event.text.startswith("Stage ")]
    assert len(told) == 11 and told[0].startswith("Stage 1 of 11")
    progress = [event for event in events if isinstance(event, Progress) and event.label == "The whole demo"]
    assert progress[-1].done == progress[-1].total == 11
    assert sum(isinstance(event, Loss) for event in events) == 5 * 3
    assert [event.control for event in events if isinstance(event, ControlMap)] == ["canny", "pose"]


def test_it_can_run_again_into_its_own_folder_only(models: Models, out: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.md").write_text("mine")
    for folder in (tmp_path, tmp_path / "thesis.md"):
        stream = demo(DemoJob(out=folder, quick=True), models.catalog.workspace, models)
        with pytest.raises(BadInput, match="Name a new folder"):
            next(stream)
    again = demo(DemoJob(out=out, quick=True), models.catalog.workspace, models)
    assert isinstance(next(again), Progress)


def test_stop_inside_a_training_ends_the_demo(models: Models, tmp_path: Path) -> None:
    stream = demo(DemoJob(out=tmp_path / "stopped", quick=True), models.catalog.workspace, models)
    for event in stream:
        if isinstance(event, Loss):
            break
    rest = [stream.throw(StopRequested())]
    with pytest.raises(StopRequested):
        rest += list(stream)
    assert any(isinstance(event, Note) and "Stopped after 1" in event.text for event in rest)
    assert not (tmp_path / "stopped" / "report.json").exists()
    assert not models.status()["in_use"]


def test_a_stage_passes_on_what_its_recipe_returns() -> None:
    def recipe() -> Iterator[Event]:
        yield Loss(1, 0.5, None, 1e-4, 1.0, 0.1)
        yield Saved("run", "anna", Path("runs/anna"))
        return 7

    def whole() -> Iterator[Event]:
        stage = yield from stages.run("train", recipe())
        assert stage.result == 7 and stage.name("run") == "anna" and stage.path("run") == Path("runs/anna")

    stages = Stages("all", 1)
    assert sum(isinstance(event, Loss) for event in whole()) == 1
    assert list(stages.seconds) == ["train"] and len(stages.losses["train"]) == 1
