"""Identity similarity ranks the person over others, between a floor and a ceiling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgui.evaluate.figures import similarity_figures
from dreamgui.evaluate.measures.identity import (
    References,
    by_photograph,
    normalised,
)
from dreamgui.evaluate.measures.reading import DLIB
from dreamgui.evaluate.measures.recogniser import Dlib, Recogniser, unit
from dreamgui.evaluate.person import person_of
from tests.evaluate.test_reference import ASTRONAUT, HOPPER, NOBODY, brighter, dataset

DEMO = Path(__file__).resolve().parents[3] / "assets" / "demo" / "photos"


def towards(degrees: float) -> np.ndarray:
    """A unit vector in the plane."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


def references(held_out: int, trained: int) -> References:
    aside = {f"h{number}": towards(10 * number) for number in range(held_out)}
    others = {f"t{number}": towards(-10 * number) for number in range(1, trained + 1)}
    return References("plane", aside, others)


def test_held_out_photographs_are_the_references_from_three_on() -> None:
    three, two = references(3, 4), references(2, 4)
    assert three.only_held_out and three.count == 3 and "3 held-out photographs" in three.sentence
    assert not two.only_held_out and two.count == 6
    assert "all 6 photographs" in two.sentence and "fewer than 3 held-out" in two.sentence
    assert "isn't measured" in references(0, 0).sentence


def test_pairs_are_the_mean_cosine_and_the_centroid_is_their_direction() -> None:
    score = references(3, 0).score(towards(40))
    assert score is not None
    assert score.pairs == pytest.approx(np.mean(np.cos(np.radians([40, 30, 20]))))
    assert score.centroid == pytest.approx(np.cos(np.radians(30)))
    assert references(3, 0).score(None) is None and references(0, 0).score(towards(0)) is None


def test_the_ceiling_leaves_each_photograph_out() -> None:
    alone = references(3, 0).ceiling
    assert alone is not None
    assert alone.pairs == pytest.approx(np.mean(np.cos(np.radians([10, 20, 10]))), abs=1e-6)
    with_trained = references(3, 1).ceiling
    assert with_trained is not None
    trained = np.mean(np.cos(np.radians([10, 20, 30])))
    assert with_trained.pairs == pytest.approx((3 * alone.pairs + trained) / 4, abs=1e-6)
    assert references(0, 1).ceiling is None, "one photograph has no other one"


def test_crops_of_one_photograph_are_one_photograph() -> None:
    crops = [("a", towards(0)), ("a", towards(20)), ("b", None), ("c", towards(50))]
    found = by_photograph(crops)
    assert list(found) == ["a", "c"]
    assert found["a"] == pytest.approx(towards(10)) and np.linalg.norm(found["a"]) == pytest.approx(1)


def scored(real: References, *faces: np.ndarray | None) -> list[list[float | None]]:
    """Cosines of one prompt's pictures, as a comparison holds them."""
    found = [real.score(face) for face in faces]
    return [[None if each is None else each.pairs for each in found]]


def test_normalised_is_0_for_the_base_and_1_for_another_photograph() -> None:
    assert normalised(0.3, 0.3, 0.8) == pytest.approx(0) and normalised(0.8, 0.3, 0.8) == pytest.approx(1)
    assert normalised(0.5, 0.5, 0.5) is None, "floor and ceiling that can't be told apart"
    real = references(4, 0)
    base = scored(real, towards(80), towards(90), None)
    same = similarity_figures("plane", base, base, real)
    assert same["plane_normalised"] == pytest.approx(0)
    between = similarity_figures("plane", scored(real, towards(40)), base, real)["plane_normalised"]
    assert between is not None and 0 < between < 1
    for ours, floor in [(scored(real, None), base), (scored(real, towards(0)), scored(real, None))]:
        assert similarity_figures("plane", ours, floor, real)["plane_normalised"] is None


def test_unit_vectors() -> None:
    assert unit(np.array([3.0, 4.0])) == pytest.approx([0.6, 0.8])
    assert unit(np.zeros(3)) == pytest.approx([0, 0, 0])
    assert unit(np.array([[0.0, 2.0], [3.0, 0.0]])) == pytest.approx(np.array([[0, 1], [1, 0]]))


def test_dlib_ranks_the_same_person_over_another(tmp_path: Path) -> None:
    recogniser: Recogniser = Dlib()
    assert "cosine" in recogniser.name and "King" in recogniser.source
    turned = [ASTRONAUT.rotate(degrees) for degrees in (-6, 6)]
    made = dataset(
        tmp_path, (ASTRONAUT, True), (turned[0], True), (turned[1], True), (HOPPER, False), (NOBODY, True)
    )
    real = person_of(made).references[DLIB]
    assert real.only_held_out and len(real.held_out) == 3 and len(real.trained) == 1
    pictures = (brighter(ASTRONAUT), HOPPER.rotate(5), NOBODY)
    same, other, nobody = (real.score(recogniser.embed(picture)) for picture in pictures)
    assert nobody is None and same is not None and other is not None
    assert same.pairs > 0.95 > 0.92 > other.pairs
    assert same.centroid > other.centroid


def test_a_dropped_crop_is_no_reference(tmp_path: Path) -> None:
    made = dataset(tmp_path, (ASTRONAUT, True), (brighter(ASTRONAUT), True))
    made.drop(made.entries[0].file)
    assert person_of(made).references[DLIB].count == 1


def test_drawn_photographs_of_one_person_are_more_alike_than_strangers() -> None:
    """Pairs of the bundled photographs over pairs with two strangers: AUC 0.97 and more."""
    photographs = [Image.open(path) for path in sorted(DEMO.glob("*.jpg"))[:8]]
    embed = Dlib().embed
    faces = [face for picture in photographs if (face := embed(picture)) is not None]
    strangers = [face for picture in (ASTRONAUT, HOPPER) if (face := embed(picture)) is not None]
    assert len(faces) >= 6 and len(strangers) == 2
    same = [float(one @ other) for place, one in enumerate(faces) for other in faces[:place]]
    others = [float(one @ other) for one in faces for other in strangers]
    assert np.mean(np.array(same)[:, None] > np.array(others)) >= 0.97
