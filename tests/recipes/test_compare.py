"""Comparing on a tiny base of random weights: the order of events, the seeds, the report, and stopping."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreamgui.config import CompareJob, CropJob
from dreamgui.diffusion.sample import Draw, draw
from dreamgui.errors import StopRequested, UnknownName
from dreamgui.evaluate.drift import CLASS_PICTURES
from dreamgui.events import Cell, Event, Note, Progress, Saved, Score
from dreamgui.models.catalog import ModelSpec
from dreamgui.models.manager import Models
from dreamgui.recipes.compare import compare
from dreamgui.recipes.crop import crop
from dreamgui.workspace import Workspace
from tests.data.conftest import packaged
from tests.recipes.runs import make_run
from tests.tiny import make_tiny_base

PROMPTS = ("a photo of sks woman face in the forest", "a photo of sks woman face on the moon")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A tiny base with a UNet run and a LoRA run, and a data set of one real face."""
    workspace = Workspace(tmp_path_factory.mktemp("compare"))
    make_tiny_base(workspace)
    make_run(workspace, "tiny", "whole", "unet")
    make_run(workspace, "tiny", "adapter", "lora")
    models = Models(workspace, torch.device("cpu"))
    photos = (packaged("skimage", "data/astronaut.png"),)
    list(crop(CropJob(photos=photos, dataset="anna", size_px=256), workspace, models))
    return models


def job(**changes: object) -> CompareJob:
    settings = {
        "models": ("tiny", "whole", "adapter"),
        "prompts": PROMPTS,
        "steps": 2,
        "seed": 7,
        "dataset": "anna",
    }
    return CompareJob.model_validate({**settings, **changes})


@pytest.fixture(scope="module")
def events(models: Models) -> list[Event]:
    return list(compare(job(report="all"), models.catalog.workspace, models))


def test_cells_come_row_by_row_with_one_seed_a_column(events: list[Event]) -> None:
    cells = [event for event in events if isinstance(event, Cell)]
    wanted = [
        (model, prompt, 7 + n) for model in ("tiny", "whole", "adapter") for n, prompt in enumerate(PROMPTS)
    ]
    assert [(cell.model, cell.prompt, cell.seed) for cell in cells] == wanted
    assert all(isinstance(cell.image, Image.Image) and cell.image.size == (64, 64) for cell in cells)
    assert all(cell.scores == {"likeness": None} for cell in cells), "random weights draw no face"


def test_a_cell_is_what_drawing_it_alone_gives(models: Models, events: list[Event]) -> None:
    last = [event for event in events if isinstance(event, Cell)][-1]
    with models.use(ModelSpec("tiny", lora_run="adapter")) as parts:
        [alone] = draw(parts, [Draw(PROMPTS[1], seed=8, steps=2)])
    assert np.array_equal(np.asarray(last.image), np.asarray(alone))


def test_models_differ_and_progress_ends(events: list[Event]) -> None:
    cells = [np.asarray(event.image) for event in events if isinstance(event, Cell)]
    assert not np.array_equal(cells[0], cells[2]) and not np.array_equal(cells[0], cells[4])
    progress = [event for event in events if isinstance(event, Progress) and event.label == "Comparing"]
    assert progress[-1].done == progress[-1].total == 3 * (len(PROMPTS) + CLASS_PICTURES)
    scores = [event for event in events if isinstance(event, Score)]
    assert [score.model for score in scores] == ["tiny", "whole", "adapter"]
    assert scores[0].values["faces_found"] == 0 and scores[0].values["likeness"] is None


def test_the_report_holds_every_picture(models: Models, events: list[Event]) -> None:
    saved = events[-1]
    assert isinstance(saved, Saved) and saved.what == "report" and saved.name == "all"
    data = json.loads((saved.path / "report.json").read_text())
    assert [row["kind"] for row in data["models"]] == ["base", "unet", "lora"]
    assert data["models"][0]["file_bytes"] > 1e6 and data["models"][2]["rank"] == 4
    cells = [event for event in events if isinstance(event, Cell)]
    assert len(data["images"]) == len(cells) and len(data["class_images"]) == 3 * CLASS_PICTURES
    for row, cell in zip(data["images"], cells, strict=True):
        assert np.array_equal(np.asarray(Image.open(saved.path / row["path"])), np.asarray(cell.image))
    assert {"README.md", "index.html", "grid.png", "likeness.svg"} <= {
        file.name for file in saved.path.iterdir()
    }
    assert data["class_prompt"] == "a photo of woman face"


def test_base_alone_draws_no_class_pictures_and_names_do_not_collide(models: Models) -> None:
    again = job(models=("tiny", "tiny"), prompts=PROMPTS[:1], report="all")
    events = list(compare(again, models.catalog.workspace, models))
    assert sum(isinstance(event, Cell) for event in events) == 1
    assert isinstance(events[-1], Saved) and events[-1].name == "all-2"
    assert json.loads((events[-1].path / "report.json").read_text())["class_images"] == []


def test_stopping_keeps_what_was_drawn(models: Models) -> None:
    stream = compare(job(report="stopped"), models.catalog.workspace, models)
    for event in stream:
        if isinstance(event, Cell) and event.model == "whole":
            break
    rest = [stream.throw(StopRequested()), *stream]
    assert isinstance(rest[0], Note) and isinstance(rest[-1], Saved)
    data = json.loads((rest[-1].path / "report.json").read_text())
    assert data["stopped"] and len(data["images"]) == 3
    assert not models.status()["in_use"]


def test_stopping_before_the_first_picture_leaves_nothing(models: Models) -> None:
    stream = compare(job(report="nothing"), models.catalog.workspace, models)
    next(stream)
    with pytest.raises(StopRequested):
        stream.throw(StopRequested())
    assert not models.catalog.workspace.place("reports", "nothing").exists()


@pytest.mark.parametrize("changes", [{"models": ("tiny", "gone")}, {"dataset": "gone"}])
def test_unknown_names_are_told_before_anything_is_drawn(models: Models, changes: dict[str, object]) -> None:
    seen = []
    with pytest.raises(UnknownName, match="gone"):
        seen += [
            event
            for event in compare(job(**changes), models.catalog.workspace, models)
            if isinstance(event, Cell)
        ]
    assert not seen


def test_a_data_set_without_faces_still_compares(models: Models, tmp_path: Path) -> None:
    workspace = models.catalog.workspace
    dataset = workspace.place("datasets", "faceless")
    list(
        crop(
            CropJob(photos=(packaged("skimage", "data/astronaut.png"),), dataset="faceless", size_px=64),
            workspace,
            models,
        )
    )
    for file in dataset.glob("images/*.png"):
        Image.new("RGB", (64, 64), "grey").save(file)
    events = list(compare(job(models=("tiny",), dataset="faceless"), workspace, models))
    assert any(isinstance(event, Note) and "No face" in event.text for event in events)
    assert next(event for event in events if isinstance(event, Cell)).scores == {}
