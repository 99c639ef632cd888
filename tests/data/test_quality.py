from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from dreamgui.config import Framing
from dreamgui.data.dataset.coverage import cover
from dreamgui.data.dataset.entry import Entry
from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.photos.load import load_image
from dreamgui.data.photos.near_duplicates import find_near_duplicates, perceptual_hash
from dreamgui.data.quality import Light, Quality, Turn, measure, turn_of

GOOD = Quality(sharpness=0.2, exposure=0.5, clipped=0, face_px=200, turn="front", light="even")
EYES_AND_NOSE = ((40.0, 50.0), (60.0, 50.0))


def measured(image: Image.Image, crop_side: int = 512) -> Quality:
    face = detect_faces(image)[0]
    box = tuple(value / image.width for value in face.box)
    assert len(box) == 4
    return measure(image.resize((crop_side, crop_side)), box, face.landmarks, face.size_px)


@pytest.fixture(scope="module")
def portraits(astronaut: Path, hopper: Path) -> list[Image.Image]:
    return [load_image(astronaut), load_image(hopper).crop((0, 0, 512, 512))]


def test_blurred_faces_are_told_from_sharp_ones(portraits: list[Image.Image]) -> None:
    for image in portraits:
        sharp, blurred = measured(image), measured(image.filter(ImageFilter.GaussianBlur(5)))
        assert sharp.sharpness > 2 * 0.02 and not sharp.warnings
        assert blurred.sharpness < sharp.sharpness / 3 and "blurred" in blurred.warnings


def test_sharpness_doesnt_depend_on_light(portraits: list[Image.Image]) -> None:
    for image in portraits:
        dim = measured(ImageEnhance.Brightness(image).enhance(0.6))
        assert dim.sharpness == pytest.approx(measured(image).sharpness, rel=0.3)


def test_light_is_told(portraits: list[Image.Image]) -> None:
    dark = measured(ImageEnhance.Brightness(portraits[0]).enhance(0.3))
    bright = measured(Image.blend(portraits[0], Image.new("RGB", (512, 512), "white"), 0.7))
    assert (dark.light, measured(portraits[0]).light, bright.light) == ("dark", "even", "bright")
    assert "the face is dark" in dark.warnings and dark.exposure < 0.25 and bright.exposure > 0.75


@pytest.mark.parametrize(("nose_x", "turn"), [(50, "front"), (53, "front"), (42, "left"), (58, "right")])
def test_turn_is_told_by_the_nose(nose_x: float, turn: Turn) -> None:
    assert turn_of((*EYES_AND_NOSE, (nose_x, 60.0))) == turn


def test_a_leaning_head_isnt_turned() -> None:
    angle = np.deg2rad(35)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    leaning = [tuple(matrix @ np.array(point)) for point in (*EYES_AND_NOSE, (50.0, 62.0))]
    assert turn_of(leaning) == "front"  # pyright: ignore[reportArgumentType]
    assert turn_of(()) == "front"


def test_the_mirrored_face_looks_the_other_way(portraits: list[Image.Image]) -> None:
    turns = {"left": "right", "right": "left", "front": "front"}
    for image in portraits:
        mirrored = measured(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        assert mirrored.turn == turns[measured(image).turn]


def test_near_copies_are_found_and_others_not(portraits: list[Image.Image], coffee: Path) -> None:
    first, other = portraits
    pictures = [
        first,
        other,
        load_image(coffee),
        first.resize((300, 300)),
        ImageEnhance.Brightness(other).enhance(0.9),
    ]
    marks = [perceptual_hash(picture) for picture in pictures]
    assert find_near_duplicates(marks, [None] * 5) == {3: 0, 4: 1}
    away = np.zeros(128, np.float32)
    assert find_near_duplicates(marks, [away, away, away, away + 1, away]) == {4: 1}


def entries(
    count: int, framing: Framing = "medium", turn: Turn = "front", light: Light = "even", start: int = 1
) -> list[Entry]:
    quality = GOOD.model_copy(update={"turn": turn, "light": light})
    return [
        Entry(
            file=f"{number:04d}.png", source=f"{number}.jpg", upload=f"{number:04d}.jpg",
            photo_size=(900, 900), box=(0, 0, 600, 600), face=(200, 100, 350, 250), framing=framing,
            score=0.9, enlargement=0.9, quality=quality, caption="sks",
        )
        for number in range(start, start + count)
    ]  # fmt: skip


def full_set() -> list[Entry]:
    """Fifteen photographs that lack nothing."""
    return [
        *entries(4, "close-up"), *entries(2, "close-up", "left", start=5), *entries(4, start=7),
        *entries(2, "medium", "right", start=11), *entries(3, "full", start=13),
    ]  # fmt: skip


def test_fifteen_varied_photographs_get_no_advice() -> None:
    coverage = cover(full_set())
    assert coverage.advice == ()
    assert coverage.by_framing() == {"close-up": 6, "medium": 6, "full": 3}
    assert coverage.by_turn() == {"left": 2, "front": 11, "right": 2} and coverage.by_light()["even"] == 15
    assert coverage.counts["close-up", "left", "even"] == 2


def test_fourteen_are_few_and_held_out_ones_count_as_photographs() -> None:
    whole = full_set()
    assert cover(whole[:-1]).advice[0].startswith("14 photographs are few; from 15 on")
    aside = [whole[0].model_copy(update={"held_out": True}), *whole[1:]]
    coverage = cover(aside)
    assert coverage.advice == () and sum(coverage.counts.values()) == 14


def test_what_to_add_is_said() -> None:
    assert "Add 6 more close-ups: there are 0, the mix wants 6." in cover(entries(15)).advice
    assert any(text.startswith("All faces are frontal") for text in cover(entries(15)).advice)
    dark = cover(entries(15, light="dark")).advice
    assert "All faces are dark: add photographs in other light." in dark


def test_what_to_drop_is_said_as_long_as_its_twin_is_there() -> None:
    whole = full_set()
    whole[3] = whole[3].model_copy(update={"quality": GOOD.model_copy(update={"near_duplicate": "0001.png"})})
    whole[8] = whole[8].model_copy(update={"agreement": 0.0})
    whole[9] = whole[9].model_copy(update={"agreement": 0.0})
    assert cover(whole).advice == (
        "0004.png (4.jpg) is nearly the same as 0001.png: keep one of them.",
        "0009.png (9.jpg) and 0010.png (10.jpg) may show someone else: drop those that do.",
    )
    whole[0] = whole[0].model_copy(update={"dropped": True})
    assert not any("0004.png" in text for text in cover(whole).advice)
