"""A planted copy is found, and no other picture of the same drawn person; nearness is told from likeness."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.photos.load import load_image
from dreamgui.evaluate.measures.memorising import (
    COPY_HASH,
    HASH_BITS,
    Crop,
    copies,
    memorising,
    perceptual_hash,
)
from dreamgui.evaluate.measures.recogniser import Dlib
from tests.evaluate.test_reference import ASTRONAUT, HOPPER, NOBODY

DEMO = Path(__file__).resolve().parents[3] / "assets" / "demo" / "photos"
SIDE_PX = 192
TRAINED = 6
EMBED = Dlib().embed


@cache
def close_ups() -> tuple[Image.Image, ...]:
    """Close-ups of one drawn person, of ten photographs."""
    found = []
    for path in sorted(DEMO.glob("*.jpg"))[:10]:
        photograph = load_image(path)
        face = max(detect_faces(photograph), key=lambda each: each.size_px)
        (x, y), reach = face.center, face.size_px
        box = (round(x - reach), round(y - reach), round(x + reach), round(y + reach))
        found.append(photograph.crop(box).resize((SIDE_PX, SIDE_PX)))
    return tuple(found)


@cache
def crops() -> tuple[Crop, ...]:
    return tuple(
        Crop(f"{number}.png", perceptual_hash(image), EMBED(image))
        for number, image in enumerate(close_ups()[:TRAINED])
    )


def encoded(image: Image.Image, quality: int = 70) -> Image.Image:
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=quality)
    return Image.open(kept).convert("RGB")


PLANTED = {
    "encoded again": encoded,
    "resized": lambda image: encoded(image.resize((128, 128)), 85),
    "mirrored": lambda image: encoded(ImageOps.mirror(image)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "all of it": lambda image: encoded(ImageOps.mirror(image.resize((144, 144)))),
}


@pytest.mark.parametrize("change", list(PLANTED))
def test_a_planted_copy_is_found_and_no_other_picture_of_the_person(change: str) -> None:
    planted = PLANTED[change](close_ups()[2])
    others = list(close_ups()[TRAINED:])
    pictures = [*others[:2], planted, *others[2:], ASTRONAUT, NOBODY]
    [found] = copies(pictures, [EMBED(picture) for picture in pictures], crops())
    assert (found.picture, found.crop) == (2, "2.png")
    assert found.mirrored == (change in ("mirrored", "all of it"))
    assert found.hash_distance <= COPY_HASH and found.face is not None and found.face > 0.95


def test_the_same_layout_with_another_face_is_no_copy() -> None:
    face = Crop("0.png", perceptual_hash(ASTRONAUT), EMBED(ASTRONAUT))
    assert copies([ASTRONAUT], [EMBED(ASTRONAUT)], [face])
    assert not copies([ASTRONAUT], [EMBED(HOPPER)], [face])


def test_a_copy_without_a_face_is_found_by_its_hash() -> None:
    scene = ASTRONAUT.crop((0, 180, 60, 240))
    [found] = copies([encoded(scene)], [None], [Crop("0.png", perceptual_hash(scene), None)])
    assert found.face is None and found.hash_distance < 0.05
    assert copies([scene], [None], []) == []


def test_the_hash_is_of_the_layout_not_of_size_or_light() -> None:
    first = perceptual_hash(ASTRONAUT)
    assert first.shape == (HASH_BITS,) and first.dtype == bool
    assert 0.45 < first.mean() < 0.55, "half of the bits are set"
    assert (first != perceptual_hash(ASTRONAUT.resize((500, 300)))).mean() < 0.05
    assert 0.35 < (first != perceptual_hash(HOPPER)).mean() < 0.65


def test_the_gap_is_the_nearest_training_crop_less_the_nearest_held_out_one() -> None:
    face = np.array([1.0, 0.0])
    trained = [np.array([0.0, 1.0]), np.array([0.9, 0.436])]
    found = memorising(face, trained, [np.array([0.6, 0.8]), np.array([-1.0, 0.0])])
    assert found is not None
    assert (found.trained, found.held_out, found.gap) == pytest.approx((0.9, 0.6, 0.3))
    assert memorising(None, trained, trained) is None
    assert memorising(face, trained, []) is None and memorising(face, [], trained) is None


def test_a_copy_has_a_larger_gap_than_another_photograph() -> None:
    faces = [face for image in close_ups() if (face := EMBED(image)) is not None]
    trained, held_out, other = faces[:4], faces[4:7], faces[7]
    copied = memorising(EMBED(encoded(close_ups()[0])), trained, held_out)
    fresh = memorising(other, trained, held_out)
    assert copied is not None and fresh is not None and copied.gap > fresh.gap
