"""ControlNet drawing on a tiny base: the map, the models on it, the report, and pictures that give no map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from dreamgui.config import ControlJob, CropJob
from dreamgui.data.crop import square_crop
from dreamgui.diffusion.control.control_image import leading_square, make_control_map
from dreamgui.diffusion.control.control_maps import canny_map, skeletons
from dreamgui.diffusion.control.frame import bars, fitted
from dreamgui.diffusion.control.own_pose import pose_text
from dreamgui.diffusion.generation import request
from dreamgui.diffusion.sample import generate
from dreamgui.errors import BadInput, BadPhoto, StopRequested, UnknownName
from dreamgui.events import Cell, ControlMap, Event, Note, Saved, Score
from dreamgui.models.catalog.cards import write_run
from dreamgui.models.manager import Models
from dreamgui.recipes.control import control
from dreamgui.recipes.crop import crop
from dreamgui.workspace import Workspace
from tests.data.conftest import packaged
from tests.diffusion.test_control_maps import standing
from tests.recipes.runs import make_run
from tests.tiny import make_tiny_base, make_tiny_controlnet

ASTRONAUT = packaged("skimage", "data/astronaut.png")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    workspace = Workspace(tmp_path_factory.mktemp("control"))
    base = make_tiny_base(workspace)
    make_tiny_controlnet(base, "canny")
    make_tiny_controlnet(base, "pose", seed=2)
    make_run(workspace, "tiny", "whole", "unet")
    return Models(workspace, torch.device("cpu"))


def generated(manager: Models, **changes: object) -> list[Event]:
    settings = {"image": ASTRONAUT, "models": ("tiny", "whole"), "steps": 2, **changes}
    return list(control(ControlJob.model_validate(settings), manager.catalog.workspace, manager))


def cells(events: list[Event]) -> list[Cell]:
    return [event for event in events if isinstance(event, Cell)]


@pytest.mark.parametrize("kind", ["canny", "pose"])
def test_every_model_draws_on_the_same_map(models: Models, kind: str) -> None:
    events = generated(models, control=kind, report=kind)
    [control_map] = [event for event in events if isinstance(event, ControlMap)]
    found = cells(events)
    assert (
        control_map.control == kind
        and isinstance(control_map.image, Image.Image)
        and control_map.image.size == (64, 64)
    )
    assert control_map.image.getbbox() is not None
    assert [cell.model for cell in found] == ["tiny", "whole"]
    assert not np.array_equal(np.asarray(found[0].image), np.asarray(found[1].image))
    saved = events[-1]
    assert isinstance(saved, Saved) and saved.what == "report"
    data = json.loads((saved.path / "report.json").read_text())
    assert [(row["map"], row["model"]) for row in data["control"]] == [(kind, "tiny"), (kind, "whole")]
    for path in (data["map"], data["picture"], *(row["path"] for row in data["control"])):
        assert Image.open(saved.path / path).size == (64, 64)
    assert str(ASTRONAUT.parent) not in (saved.path / "report.json").read_text()


def test_a_prompt_that_was_not_given_follows_the_run(models: Models) -> None:
    folder, card = models.catalog.workspace.place("runs", "whole"), models.catalog.run("whole")
    write_run(folder, card.model_copy(update={"job": card.job | {"instance_prompt": "ohwx man"}}))
    try:
        events = generated(models)
        assert {event.prompt for event in events if isinstance(event, Cell)} == {"ohwx man in the forest"}
        assert any("'ohwx man'" in event.text for event in events if isinstance(event, Note))
        given = generated(models, prompt="a photo of sks woman face in the forest")
        assert {cell.prompt for cell in given if isinstance(cell, Cell)} != {"ohwx man in the forest"}
    finally:
        write_run(folder, card)


def test_the_map_leads(models: Models) -> None:
    free, led = (cells(generated(models, models=("tiny",), control_scale=scale))[0] for scale in (0.0, 1.0))
    assert not np.array_equal(np.asarray(free.image), np.asarray(led.image))


def test_a_picture_of_nobody_gives_no_pose(models: Models) -> None:
    with pytest.raises(BadInput, match=r"No person was found in coffee\.png"):
        generated(models, image=packaged("skimage", "data/coffee.png"), control="pose")


def test_a_plain_picture_gives_no_edges(models: Models, tmp_path: Path) -> None:
    Image.new("RGB", (80, 80), "grey").save(tmp_path / "plain.png")
    with pytest.raises(BadInput, match="No edges were found in plain"):
        generated(models, image=tmp_path / "plain.png")


def test_a_black_map_is_refused(models: Models, tmp_path: Path) -> None:
    Image.new("RGB", (80, 80)).save(tmp_path / "black.png")
    for kind in ("canny", "pose"):
        with pytest.raises(BadInput, match="black.png is black everywhere"):
            generated(models, image=tmp_path / "black.png", control=kind, image_is="map")


@pytest.mark.parametrize(
    ("size", "wide"), [((512, 256), (0, 16)), ((200, 400), (16, 0)), ((128, 80), (0, 12))]
)
def test_the_whole_picture_is_fitted_with_bars_and_said(
    models: Models, tmp_path: Path, size: tuple[int, int], wide: tuple[int, int]
) -> None:
    Image.open(ASTRONAUT).convert("RGB").resize(size).save(tmp_path / "wide.png")
    job = ControlJob(image=tmp_path / "wide.png", models=("tiny",))
    source, control_map, notes, _ = make_control_map(job, 64)
    for picture in (source, control_map):
        pixels = np.asarray(picture).max(axis=2)
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        assert picture.size == (64, 64) and rows[0] >= wide[1] and columns[0] >= wide[0]
        assert 63 - rows[-1] >= wide[1] and 63 - columns[-1] >= wide[0]
    inner = source.crop((wide[0], wide[1], 64 - wide[0], 64 - wide[1]))
    assert np.array_equal(
        np.asarray(control_map.crop((wide[0], wide[1], 64 - wide[0], 64 - wide[1]))),
        np.asarray(canny_map(inner)),
    ), "a bar's border is no edge"
    assert len(notes) == 1 and f"{max(wide)} pixels" in notes[0] and f"{size[0]} x {size[1]}" in notes[0]
    cropped = make_control_map(job.model_copy(update={"fit": "crop"}), 64)
    assert cropped.notes == [] and np.asarray(cropped.source).max(axis=2).any(axis=0).all()


def test_bars_of_unequal_width_are_both_named() -> None:
    assert fitted((3, 2), (512, 512)) == (0, 85, 512, 426)
    assert bars(fitted((3, 2), (512, 512)), (512, 512)) == "85 and 86 pixels above and below"
    assert bars(fitted((2, 2), (512, 512)), (512, 512)) == ""
    assert fitted((1, 5000), (64, 64)) == (31, 0, 32, 64)


def test_a_broken_picture_is_named(models: Models, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(ASTRONAUT.read_bytes()[:500])
    with pytest.raises(BadPhoto, match="broken"):
        generated(models, image=tmp_path / "broken.jpg")


def test_the_square_follows_the_face() -> None:
    wide = Image.new("RGB", (1400, 512), (90, 120, 90))
    wide.paste(Image.open(ASTRONAUT).convert("RGB"), (800, 0))
    x0, y0, x1, y1 = leading_square(wide)
    assert (y0, y1, x1 - x0) == (0, 512, 512) and abs((x0 + x1) / 2 - (800 + 226)) < 25
    assert leading_square(Image.new("RGB", (300, 300))) == (0, 0, 300, 300)
    assert leading_square(Image.new("RGB", (500, 300))) == (100, 0, 400, 300)


def test_stopping_keeps_what_was_drawn(models: Models) -> None:
    job = ControlJob(image=ASTRONAUT, models=("tiny", "whole"), steps=2, report="stopped")
    stream = control(job, models.catalog.workspace, models)
    for event in stream:
        if isinstance(event, Cell):
            break
    rest = [stream.throw(StopRequested()), *stream]
    assert isinstance(rest[-1], Saved)
    data = json.loads((rest[-1].path / "report.json").read_text())
    assert data["stopped"] and len(data["control"]) == 1


def notes(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


def test_a_ready_edge_map_is_used_as_it_is_and_said(models: Models, tmp_path: Path) -> None:
    """Edges of edges have 61 of 1,972 pixels in common with them."""
    edges = canny_map(Image.open(ASTRONAUT).convert("RGB").resize((64, 64)))
    edges.save(tmp_path / "edges.png")
    events = generated(models, models=("tiny",), image=tmp_path / "edges.png")
    [control_map] = [event for event in events if isinstance(event, ControlMap)]
    assert np.array_equal(np.asarray(control_map.image), np.asarray(edges))
    assert any("edges.png is a ready map" in text for text in notes(events))
    wanted_name = generated(models, models=("tiny",), image=tmp_path / "edges.png", image_is="photograph")
    [control_map] = [event for event in wanted_name if isinstance(event, ControlMap)]
    assert not np.array_equal(np.asarray(control_map.image), np.asarray(edges)) and notes(wanted_name) == []


def test_a_ready_skeleton_is_used_as_it_is_and_said(models: Models, tmp_path: Path) -> None:
    skeleton = skeletons([standing()], (128, 128))
    skeleton.save(tmp_path / "pose.png")
    events = generated(models, models=("tiny",), image=tmp_path / "pose.png", control="pose")
    [control_map] = [event for event in events if isinstance(event, ControlMap)]
    assert np.array_equal(
        np.asarray(control_map.image), np.asarray(square_crop(skeleton, (0, 0, 128, 128), 64))
    )
    assert any("pose.png is a ready map" in text for text in notes(events))
    edged = generated(models, models=("tiny",), image=tmp_path / "pose.png")
    assert any("pose.png is a skeleton" in text for text in notes(edged))


def test_a_map_of_another_kind_is_taken_where_the_user_says_so(models: Models, tmp_path: Path) -> None:
    soft = Image.open(ASTRONAUT).convert("L").convert("RGB").resize((64, 64))
    soft.save(tmp_path / "soft.png")
    events = generated(models, models=("tiny",), image=tmp_path / "soft.png", image_is="map")
    [control_map] = [event for event in events if isinstance(event, ControlMap)]
    assert np.array_equal(np.asarray(control_map.image), np.asarray(soft))


def test_a_pose_of_several_people_has_a_skeleton_of_each(models: Models, tmp_path: Path) -> None:
    several = Image.new("RGB", (1024, 512))
    for x in (0, 512):
        several.paste(Image.open(ASTRONAUT).convert("RGB"), (x, 0))
    several.save(tmp_path / "several.png")
    events = generated(models, models=("tiny",), image=tmp_path / "several.png", control="pose")
    assert any("several.png shows 2 people" in text for text in notes(events))
    assert notes(generated(models, models=("tiny",), control="pose")) == []


def test_a_prompt_that_is_read_otherwise_is_noted(models: Models) -> None:
    events = generated(models, prompt="a very " * 40 + "(small:1.2) cat")
    assert len([text for text in notes(events) if "77 tokens" in text]) == 1
    assert len([text for text in notes(events) if "(small:1.2)" in text]) == 1


def test_a_row_of_strengths_is_a_grid_and_0_is_the_picture_without_controlnet(models: Models) -> None:
    events = generated(models, strengths="0 0.5 1", report="row")
    found = cells(events)
    assert [(cell.model, cell.scores["strength"]) for cell in found] == [
        (model, scale) for model in ("tiny", "whole") for scale in (0, 0.5, 1)
    ]
    job = ControlJob(image=ASTRONAUT, steps=2)
    for name, cell in zip(("tiny", "whole"), found[::3], strict=True):
        with models.use(models.catalog.spec(name)) as parts:
            [plain] = generate(parts, [request(job, cell.prompt, cell.seed)])
        assert np.array_equal(np.asarray(cell.image), np.asarray(plain))
    assert len({np.asarray(cell.image).tobytes() for cell in found}) == 6
    scores = {event.model: event.values for event in events if isinstance(event, Score)}
    assert scores["whole"]["edge_recall at 0.5"] == found[4].scores["edge_recall"] is not None
    folder = models.catalog.workspace.find("reports", "row")
    rows = json.loads((folder / "report.json").read_text())["control"]
    assert [(row["model"], row["strength"]) for row in rows[:3]] == [("tiny", 0), ("tiny", 0.5), ("tiny", 1)]
    for row, cell in zip(rows, found, strict=True):
        assert np.array_equal(np.asarray(Image.open(folder / row["path"])), np.asarray(cell.image))
    page = (folder / "index.html").read_text()
    assert "strength 0.5" in page and (folder / "edge-recall.svg").read_text().count("<polyline") == 2


def test_two_controlnets_have_their_own_maps_and_strengths(models: Models) -> None:
    asked = {"models": ("tiny",), "second_control": "pose"}
    events = generated(models, **asked, report="two")
    assert [event.control for event in events if isinstance(event, ControlMap)] == ["canny", "pose"]
    data = json.loads((models.catalog.workspace.find("reports", "two") / "report.json").read_text())
    assert Image.open(models.catalog.workspace.find("reports", "two") / data["second_map"]).size == (64, 64)
    one, both = cells(generated(models, models=("tiny",)))[0], cells(events)[0]
    off = cells(generated(models, **asked, second_scale=0))[0]
    late = cells(generated(models, **asked, second_start=0.5))[0]
    assert np.array_equal(np.asarray(off.image), np.asarray(one.image))
    assert len({np.asarray(cell.image).tobytes() for cell in (one, both, late)}) == 3
    assert both.scores["edge_recall"] is not None and "pose_within" in both.scores


def test_a_span_without_steps_and_a_wild_strength_are_refused() -> None:
    for wrong in ({"control_start": 0.5, "control_end": 0.5}, {"second_end": 0}, {"strengths": (0, 2.5)}):
        with pytest.raises(ValidationError):
            ControlJob.model_validate({"image": ASTRONAUT, **wrong})
    assert ControlJob.model_validate({"image": ASTRONAUT, "strengths": " "}).scales == (1.0,)


def test_likeness_is_measured_against_the_runs_dataset(models: Models) -> None:
    workspace = models.catalog.workspace
    list(crop(CropJob(photos=(ASTRONAUT,), dataset="anna", size_px=256), workspace, models))
    folder, card = workspace.place("runs", "whole"), models.catalog.run("whole")
    write_run(folder, card.model_copy(update={"dataset": "anna"}))
    try:
        events = generated(models, dataset="")
        assert all("likeness" in cell.scores for cell in cells(events))
        assert any("the dataset 'anna'" in text for text in notes(events))
        assert "likeness" not in cells(generated(models, models=("tiny",)))[0].scores
        with pytest.raises(UnknownName):
            generated(models, dataset="gone")
    finally:
        write_run(folder, card)


def test_a_controlnet_by_path_is_used_in_place_of_the_bases_own(models: Models, tmp_path: Path) -> None:
    folder = models.catalog.folder("tiny") / "controlnet"
    own = cells(generated(models, models=("tiny",)))[0]
    weights = folder / "canny" / "diffusion_pytorch_model.safetensors"
    for path in (folder / "canny", weights):
        brought = cells(generated(models, models=("tiny",), control_model=str(path)))[0]
        assert np.array_equal(np.asarray(brought.image), np.asarray(own.image))
    other = cells(generated(models, models=("tiny",), control_model=str(folder / "pose")))[0]
    assert not np.array_equal(np.asarray(other.image), np.asarray(own.image))
    with pytest.raises(UnknownName):
        generated(models, control_model="gone.safetensors")


def test_own_points_guide_without_an_image(models: Models) -> None:
    pose = pose_text([standing()], (128, 128))
    events = generated(models, models=("tiny",), control="pose", image=None, pose=pose)
    [control_map] = [event for event in events if isinstance(event, ControlMap)]
    assert isinstance(control_map.image, Image.Image) and control_map.image.getbbox() is not None
    assert "pose_within" in cells(events)[0].scores
    blank = generated(models, models=("tiny",), control="pose", image=None, pose="[]")
    [black] = [event.image for event in blank if isinstance(event, ControlMap)]
    assert isinstance(black, Image.Image) and black.getbbox() is None
    assert any("blank board" in text for text in notes(blank)) and "pose_within" not in cells(blank)[0].scores
