"""PRES, DIV and damage follow their formulas, and rise and fall where they should."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from dreamgui.evaluate.measures.drift import Damage, Thumbnail, damage, div, pres
from dreamgui.evaluate.measures.recogniser import Dlib
from tests.evaluate.test_reference import ASTRONAUT, HOPPER, NOBODY

X, Y = np.array([1.0, 0.0]), np.array([0.0, 1.0])
DIAGONAL = np.array([0.6, 0.8])


def test_pres_is_the_mean_cosine_of_class_pictures_and_photographs() -> None:
    assert pres([X, Y, None], [X, DIAGONAL]) == pytest.approx((1 + 0.6 + 0 + 0.8) / 4)
    assert pres([None], [X]) is None and pres([X], []) is None


def test_div_is_the_mean_distance_within_a_prompt() -> None:
    assert div([[X, Y, DIAGONAL], [X, X, None]]) == pytest.approx(((1 + 0.4 + 0.2) / 3 + 0) / 2)
    assert div([[X], [Y]]) is None, "pictures of two prompts are no pair"
    assert div([]) is None


def test_a_class_that_became_the_person_has_high_pres_and_low_div() -> None:
    embed = Dlib().embed
    person = [embed(ASTRONAUT.rotate(3))]
    drifted = [embed(ASTRONAUT), embed(ASTRONAUT.rotate(-3))]
    kept = [embed(ASTRONAUT), embed(HOPPER)]
    high, low = pres(drifted, person), pres(kept, person)
    same, different = div([drifted]), div([kept])
    assert high is not None and low is not None and high > low
    assert same is not None and different is not None and same < 0.05 < different


def test_thumbnails_correlate() -> None:
    embed = Thumbnail().embed
    one, brighter, other = (
        embed(image) for image in (ASTRONAUT, ImageEnhance.Brightness(ASTRONAUT).enhance(0.8), HOPPER)
    )
    assert one is not None and brighter is not None and other is not None
    assert one @ brighter > 0.99 and one @ other < 0.8
    assert embed(NOBODY) is None, "one colour has no direction"


def test_damage_is_0_for_the_base_and_grows_with_the_distance() -> None:
    base = [ASTRONAUT, HOPPER]
    assert damage(base, base, Thumbnail()) == Damage(0.0, pytest.approx(0, abs=1e-6), Thumbnail.name, 2)
    slight = damage([ImageEnhance.Contrast(image).enhance(0.9) for image in base], base, Thumbnail())
    great = damage([HOPPER, ASTRONAUT], base, Thumbnail())
    assert slight is not None and great is not None and slight.embedding and great.embedding
    assert 0 < slight.pixels < great.pixels and slight.embedding < great.embedding
    assert damage([], [], Thumbnail()) is None


def test_pixel_damage_is_the_root_mean_square_in_shares_of_white() -> None:
    black, white = Image.new("RGB", (8, 8), "black"), Image.new("RGB", (8, 8), "white")
    grey = Image.new("RGB", (8, 8), (51, 51, 51))
    found = damage([grey, white], [black, black], Dlib())
    assert found is not None and found.pixels == pytest.approx((0.2 + 1) / 2)
    assert found.embedding is None and "dlib" in found.embedder
