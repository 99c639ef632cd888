from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreamgui.data import crop, turning
from dreamgui.data.crop import Photograph, take_in
from dreamgui.data.dataset.remarks import remarks
from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.photos.load import UPRIGHT, load_image, load_square
from dreamgui.data.turning import QUARTER_TURNS, turned_orientation
from dreamgui.errors import BadPhoto


@pytest.fixture(scope="module")
def upright(astronaut: Path) -> Image.Image:
    return load_image(astronaut)


def taken(image: Image.Image, tmp_path: Path, suffix: str, orientation: int = 1) -> Photograph:
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a{suffix}"
    image.save(path, exif=exif, quality=95)
    return take_in(path, tmp_path / "uploads", 1, 0.5, embed=lambda *_: None)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_photograph_without_its_turn_mark_comes_upright(
    upright: Image.Image, tmp_path: Path, degrees: int, suffix: str
) -> None:
    lying = upright.transpose(QUARTER_TURNS[360 - degrees])
    photograph = taken(lying, tmp_path, suffix)
    assert photograph.turned == degrees and abs(photograph.face.roll) < 20
    assert np.abs(np.asarray(load_image(photograph.kept), int) - np.asarray(upright)).mean() < 4
    x0, y0, x1, y1 = photograph.face.box
    assert 140 < x0 < x1 < 300 and 40 < y0 < y1 < 210
    assert any("turned" in note.text for note in remarks(photograph))


def test_a_wrong_turn_mark_is_put_right(upright: Image.Image, tmp_path: Path) -> None:
    photograph = taken(upright.crop((0, 0, 512, 400)), tmp_path, ".jpg", orientation=6)
    assert photograph.size == (512, 400) and photograph.turned == 270
    assert load_square(photograph.kept, (0, 0, 400, 400), 64).size == (64, 64)


def test_a_face_that_leans_far_is_turned_as_far_as_a_quarter_goes(
    upright: Image.Image, tmp_path: Path
) -> None:
    photograph = taken(upright.resize((1024, 1024)).rotate(60, fillcolor=(128, 128, 128)), tmp_path, ".jpg")
    assert photograph.turned == 90 and abs(photograph.face.roll) < 45


@pytest.mark.parametrize("degrees", [45, -45])
def test_a_face_that_no_quarter_turn_makes_upright_is_told(
    upright: Image.Image, tmp_path: Path, degrees: int
) -> None:
    leaning = upright.resize((1024, 1024)).rotate(degrees, fillcolor=(128, 128, 128))
    photograph = taken(leaning, tmp_path, ".jpg")
    notes = [note.text for note in remarks(photograph)]
    side = "right" if photograph.face.roll > 0 else "left"
    assert abs(photograph.face.roll) > 30 and any(f"degrees to the {side}" in text for text in notes)


def test_an_upright_face_is_not_told_to_lean(upright: Image.Image, tmp_path: Path) -> None:
    assert not any("leans" in note.text for note in remarks(taken(upright, tmp_path, ".jpg")))


def test_nobody_is_nobody_from_all_sides(coffee: Path, tmp_path: Path) -> None:
    with pytest.raises(BadPhoto, match="No face"):
        taken(load_image(coffee), tmp_path, ".jpg")


def test_an_upright_photograph_is_looked_at_once(
    upright: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Iterator[Any]] = []

    def counted(*args: Any) -> Any:
        looks.append(args)
        return detect_faces(*args)

    monkeypatch.setattr(crop, "detect_faces", counted)
    monkeypatch.setattr(turning, "detect_faces", counted)
    assert taken(upright, tmp_path, ".jpg").turned == 0
    assert len(looks) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("turn", QUARTER_TURNS.values())
def test_an_orientation_is_turned_on(orientation: int, turn: Image.Transpose) -> None:
    image = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7))
    shown = image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image
    again = turned_orientation(orientation, turn)
    assert (image.transpose(UPRIGHT[again]) if again in UPRIGHT else image) == shown.transpose(turn)
