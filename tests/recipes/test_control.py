"""ControlNet drawing on a tiny base: the map, the models on it, the report, and pictures that give no map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreamgui.config import ControlJob
from dreamgui.errors import BadInput, BadPhoto, StopRequested
from dreamgui.events import Cell, Event, Hint, Saved
from dreamgui.models.manager import Models
from dreamgui.recipes.control import control, leading_square
from dreamgui.workspace import Workspace
from tests.data.conftest import packaged
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


def drawn(manager: Models, **changes: object) -> list[Event]:
    settings = {"image": ASTRONAUT, "models": ("tiny", "whole"), "steps": 2, **changes}
    return list(control(ControlJob.model_validate(settings), manager.catalog.workspace, manager))


@pytest.mark.parametrize("kind", ["canny", "pose"])
def test_every_model_draws_on_the_same_map(models: Models, kind: str) -> None:
    events = drawn(models, control=kind, report=kind)
    [hint] = [event for event in events if isinstance(event, Hint)]
    cells = [event for event in events if isinstance(event, Cell)]
    assert hint.control == kind and isinstance(hint.image, Image.Image) and hint.image.size == (64, 64)
    assert hint.image.getbbox() is not None
    assert [cell.model for cell in cells] == ["tiny", "whole"]
    assert not np.array_equal(np.asarray(cells[0].image), np.asarray(cells[1].image))
    saved = events[-1]
    assert isinstance(saved, Saved) and saved.what == "report"
    data = json.loads((saved.path / "report.json").read_text())
    assert [(row["map"], row["model"]) for row in data["control"]] == [(kind, "tiny"), (kind, "whole")]
    for path in (data["map"], data["picture"], *(row["path"] for row in data["control"])):
        assert Image.open(saved.path / path).size == (64, 64)
    assert str(ASTRONAUT.parent) not in (saved.path / "report.json").read_text()


def test_the_map_leads(models: Models) -> None:
    free, led = (drawn(models, models=("tiny",), control_scale=scale)[-3] for scale in (0.0, 1.0))
    assert isinstance(free, Cell) and isinstance(led, Cell)
    assert not np.array_equal(np.asarray(free.image), np.asarray(led.image))


def test_a_picture_of_nobody_gives_no_pose(models: Models) -> None:
    with pytest.raises(BadInput, match=r"No person was found in coffee\.png"):
        drawn(models, image=packaged("skimage", "data/coffee.png"), control="pose")


def test_a_plain_picture_gives_no_edges(models: Models, tmp_path: Path) -> None:
    Image.new("RGB", (80, 80), "grey").save(tmp_path / "plain.png")
    with pytest.raises(BadInput, match="No edges were found in plain"):
        drawn(models, image=tmp_path / "plain.png")


def test_a_broken_picture_is_named(models: Models, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(ASTRONAUT.read_bytes()[:500])
    with pytest.raises(BadPhoto, match="broken"):
        drawn(models, image=tmp_path / "broken.jpg")


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
