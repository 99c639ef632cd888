"""Comparing on a tiny base of random weights: the order of events, the seeds, the report, and stopping."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreamgui.config import COMPARE_PROMPTS, CompareJob, CropJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.errors import BadInput, StopRequested, UnknownName
from dreamgui.evaluate.drift import CLASS_PICTURES
from dreamgui.events import Cell, Event, Note, Progress, Saved, Score
from dreamgui.models.catalog.catalog import ModelSpec, write_run
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
    """A tiny base with a UNet run and a LoRA run, and a dataset of one real face."""
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
    assert {"likeness", "identity", "yaw"} <= cells[0].scores.keys()
    fidelity = [cell.scores.pop("fidelity") for cell in cells]
    assert all(value is not None and 0 <= value <= 1 for value in fidelity), (
        "the base is of the bundled family"
    )
    assert all(set(cell.scores.values()) == {None} for cell in cells), "random weights draw no face"


def test_a_cell_is_what_drawing_it_alone_gives(models: Models, events: list[Event]) -> None:
    last = [event for event in events if isinstance(event, Cell)][-1]
    with models.use(ModelSpec("tiny", lora_run="adapter")) as parts:
        [alone] = generate(parts, [ImageRequest(PROMPTS[1], seed=8, steps=2)])
    assert np.array_equal(np.asarray(last.image), np.asarray(alone))


def test_more_seeds_keep_the_pictures_of_before_and_share_their_noise(models: Models) -> None:
    asked = job(models=("tiny", "adapter"), seeds=2, report="seeds")
    found = list(compare(asked, models.catalog.workspace, models))
    cells = [event for event in found if isinstance(event, Cell)]
    places = [(cell.model, cell.prompt, cell.seed) for cell in cells]
    one_model = [(PROMPTS[0], 7), (PROMPTS[1], 8), (PROMPTS[0], 1007), (PROMPTS[1], 1008)]
    assert places == [(model, *place) for model in ("tiny", "adapter") for place in one_model]
    with models.use(ModelSpec("tiny")) as parts:
        [alone] = generate(parts, [ImageRequest(PROMPTS[1], seed=1008, steps=2)])
    assert np.array_equal(np.asarray(cells[3].image), np.asarray(alone))
    assert isinstance(found[-1], Saved)
    data = json.loads((found[-1].path / "report.json").read_text())
    assert data["seeds"] == 2 and len(data["images"]) == 8
    assert len({row["path"] for row in data["images"]}) == 8
    assert all((found[-1].path / row["path"]).is_file() for row in data["images"])
    assert "1000 apart" in (found[-1].path / "README.md").read_text()


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


@pytest.fixture
def other_person(models: Models) -> str:
    """A run of another person than the standard prompts', trained on a dataset that isn't the standard one."""
    workspace = models.catalog.workspace
    folder = workspace.place("runs", "ohwx")
    if not folder.exists():
        make_run(workspace, "tiny", "ohwx", "lora")
        card = models.catalog.run("ohwx")
        trained = {**card.job, "instance_prompt": "a photo of ohwx man face", "dataset": "anna"}
        write_run(folder, card.model_copy(update={"job": trained, "dataset": "anna"}))
    return "ohwx"


def test_prompts_that_were_not_given_follow_the_first_run(models: Models, other_person: str) -> None:
    asked = CompareJob(models=("tiny", other_person, "adapter"), steps=1, report="followed")
    events = list(compare(asked, models.catalog.workspace, models))
    prompts = [event.prompt for event in events if isinstance(event, Cell) and event.model == "tiny"]
    assert prompts == [each.replace("sks woman", "ohwx man") for each in COMPARE_PROMPTS]
    [note] = [event.text for event in events if isinstance(event, Note) and "Not given" in event.text]
    assert other_person in note and "'a photo of ohwx man face'" in note and "'anna'" in note
    saved = events[-1]
    assert isinstance(saved, Saved)
    assert json.loads((saved.path / "report.json").read_text())["prompts"] == prompts


def test_a_report_is_generated_again_and_says_what_is_identical(models: Models, events: list[Event]) -> None:
    workspace, saved = models.catalog.workspace, events[-1]
    assert isinstance(saved, Saved)
    again = list(compare(CompareJob(from_=Path("all"), report="again"), workspace, models))
    assert any(isinstance(event, Note) and "24 of 24 pictures are identical" in event.text for event in again)
    assert isinstance(again[-1], Saved) and again[-1].name == "again"
    data = json.loads((again[-1].path / "report.json").read_text())
    assert data["repeated"] == {"report": "all", "identical": 24, "compared": 24, "differing": []}
    assert data["settings"]["from_"] is None, "the new report can be repeated like any other"
    # An earlier version wrote no hashes; one picture was changed since.
    old = json.loads((saved.path / "report.json").read_text())
    for row in old["images"] + old["class_images"]:
        del row["sha256"]
    del old["settings"]["seeds"], old["settings"]["preset"], old["settings"]["from_"]
    elsewhere = workspace.root / "handed-in"
    shutil.copytree(saved.path, elsewhere)
    (elsewhere / "report.json").write_text(json.dumps(old))
    Image.new("RGB", (64, 64)).save(elsewhere / old["images"][0]["path"])
    third = list(compare(CompareJob(from_=elsewhere / "report.json"), workspace, models))
    [note] = [event.text for event in third if isinstance(event, Note) and "identical" in event.text]
    assert "23 of 24" in note and "handed-in" in note


def test_what_is_no_report_of_a_comparison_is_refused(models: Models, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"settings": {"models": []}, "images": []}')
    for path in (tmp_path, tmp_path / "gone.json"):
        with pytest.raises(BadInput, match=r"isn't the report.json"):
            next(compare(CompareJob(from_=path), models.catalog.workspace, models))


def test_given_prompts_and_datasets_stay(models: Models, other_person: str) -> None:
    asked = job(models=(other_person,), prompts=PROMPTS[:1])
    events = list(compare(asked, models.catalog.workspace, models))
    assert [event.prompt for event in events if isinstance(event, Cell)] == list(PROMPTS[:1])
    assert not [event for event in events if isinstance(event, Note) and "Not given" in event.text]


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
    assert (
        not {"likeness", "identity"}
        & next(event for event in events if isinstance(event, Cell)).scores.keys()
    )


@pytest.mark.parametrize("aside", [0, 2])
def test_the_report_says_which_photographs_likeness_was_measured_against(models: Models, aside: int) -> None:
    """Of three photographs of one face all, or the two that are held out."""
    workspace, name = models.catalog.workspace, f"aside-{aside}"
    photos = tuple(workspace.root / f"{name}-{number}.png" for number in range(3))
    for number, photo in enumerate(photos):
        Image.open(packaged("skimage", "data/astronaut.png")).rotate(3 * number).save(photo)
    list(
        crop(CropJob(photos=photos, dataset=name, size_px=128, close_up_share=1, medium_share=0, hold_out=False), workspace, models)
    )  # fmt: skip
    dataset = Dataset.load(workspace.find("datasets", name))
    for entry in dataset.entries:
        if entry.source in [photo.name for photo in photos[:aside]]:
            dataset.hold_out(entry.file)
    events = list(compare(job(models=("tiny",), prompts=PROMPTS[:1], dataset=name), workspace, models))
    assert any("fewer than 2 held-out" in event.text for event in events if isinstance(event, Note)) == (
        not aside
    )
    assert isinstance(events[-1], Saved)
    data = json.loads((events[-1].path / "report.json").read_text())
    assert data["reference"] == {"photographs": aside or 3, "held_out": bool(aside)}
    told = "2 held-out photographs" if aside else "all 3 photographs"
    assert told in (events[-1].path / "README.md").read_text()


def test_a_prompt_that_is_read_otherwise_is_noted_once(models: Models) -> None:
    asked = job(models=("tiny", "whole"), prompts=("a (big:1.3) cat", "a very " * 40 + "small cat"))
    notes = [
        event.text for event in compare(asked, models.catalog.workspace, models) if isinstance(event, Note)
    ]
    assert sum("(big:1.3)" in text for text in notes) == 1
    assert sum("77 tokens" in text for text in notes) == 1
