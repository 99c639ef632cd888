from __future__ import annotations

import random

import pytest
from PIL import Image

from dreamgui.config import Framing
from dreamgui.data.crop import square_crop
from dreamgui.data.faces.detect import Box, Face
from dreamgui.data.framing import (
    FRAMINGS,
    SHOTS,
    Placement,
    choose_framings,
    choose_subject,
    place,
    placements,
)
from dreamgui.errors import BadPhoto

MIX: dict[Framing, float] = {"close-up": 0.4, "medium": 0.4, "full": 0.2}


def face_at(x: float, y: float, size: float) -> Box:
    return x - size / 2, y - size / 2, x + size / 2, y + size / 2


@pytest.mark.parametrize(
    ("framing", "least", "most"), [("close-up", 0.45, 0.55), ("medium", 0.22, 0.28), ("full", 0.09, 0.15)]
)
def test_shares_where_there_is_room(framing: Framing, least: float, most: float) -> None:
    placement = place(framing, face_at(2000, 1200, 300), (4000, 3600), 512, 1.5)
    x0, y0, x1, y1 = placement.box
    assert least <= placement.face_share <= most
    assert x1 - x0 == y1 - y0 and placement.adjustment == ""
    assert abs((x0 + x1) / 2 - 2000) <= 1


def test_the_head_has_air_above_it_in_every_framing() -> None:
    for framing in FRAMINGS:
        placement = place(framing, face_at(2000, 1200, 300), (4000, 3600), 512, 1.5)
        top_of_hair = 1200 - 0.95 * 300
        assert placement.box[1] < top_of_hair


def test_a_crop_is_moved_then_shrunk_to_stay_inside_and_says_so() -> None:
    moved = place("medium", face_at(150, 150, 200), (2000, 2000), 512, 1.5)
    assert moved.box == (0, 0, 800, 800) and "moved by 250 pixels" in moved.adjustment and not moved.shrunk
    shrunk = place("medium", face_at(300, 200, 180), (600, 900), 512, 1.5)
    assert shrunk.box[0] == 0 and shrunk.side_px == 600 and "made smaller" in shrunk.adjustment
    assert shrunk.face_share == 0.3


def test_never_outside_and_never_enlarged_too_much() -> None:
    dice = random.Random(1)
    for _ in range(3000):
        width, height = dice.randint(100, 4000), dice.randint(100, 4000)
        size = dice.uniform(8, min(width, height))
        face = face_at(
            dice.uniform(size / 2, width - size / 2), dice.uniform(size / 2, height - size / 2), size
        )
        limit = dice.uniform(1, 4)
        try:
            options = placements(face, [], (width, height), 256, limit)
        except BadPhoto:
            assert (
                min(width, height) < 256 / limit + 1
                or size < 256 / limit * 0.08
                or size > 0.89 * min(width, height)
            )
            continue
        for option in options:
            x0, y0, x1, y1 = option.box
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height and x1 - x0 == y1 - y0
            assert option.enlargement <= limit + 1e-9
            assert SHOTS[option.framing].least <= option.face_share <= SHOTS[option.framing].most
            assert x0 <= (face[0] + face[2]) / 2 <= x1 and y0 <= (face[1] + face[3]) / 2 <= y1


@pytest.mark.parametrize(
    ("face", "size", "framing", "words"),
    [
        (face_at(100, 100, 60), (200, 300), "close-up", "200 x 300 pixels; a crop of 512 pixels needs 342"),
        (face_at(1000, 1000, 30), (2000, 2000), "close-up", "a face of 30 pixels is too small"),
        (face_at(500, 500, 400), (1000, 1000), "full", "too little around the face"),
    ],
)
def test_refusals_say_why(face: Box, size: tuple[int, int], framing: Framing, words: str) -> None:
    with pytest.raises(BadPhoto, match=words):
        place(framing, face, size, 512, 1.5)


def test_a_face_too_small_for_every_framing() -> None:
    with pytest.raises(BadPhoto, match="20 pixels is too small for the framing 'full'"):
        placements(face_at(1000, 1000, 20), [], (3000, 3000), 512, 1.5)


def test_framings_that_show_somebody_else_are_avoided_where_possible() -> None:
    face, other = face_at(1000, 700, 300), face_at(1700, 700, 250)
    alone = placements(face, [other], (3000, 3000), 512, 1.5)
    assert [option.framing for option in alone] == ["close-up", "medium"]
    together = placements(face, [face_at(1200, 700, 250)], (3000, 3000), 512, 1.5)
    assert len(together) == 3


def test_the_subject_is_the_largest_or_nearly_as_large_and_central() -> None:
    def face(x: float, size: float) -> Face:
        return Face(face_at(x, 500, size), 0.9, ())

    small, large, central = face(200, 80), face(850, 210), face(500, 190)
    assert choose_subject([small, large], (1000, 1000)) is large
    assert choose_subject([small, large, central], (1000, 1000)) is central


def counts(chosen: list[tuple[int, Placement]]) -> list[int]:
    return [sum(placement.framing == framing for _, placement in chosen) for framing in FRAMINGS]


def test_the_mix_is_met_where_photographs_allow_it() -> None:
    options = [placements(face_at(2000, 1200, 300), [], (4000, 3600), 512, 1.5)] * 20
    chosen = choose_framings(options, MIX)
    assert counts(chosen) == [8, 8, 4] and sorted(index for index, _ in chosen) == list(range(20))


def test_photographs_without_a_choice_are_made_up_for_by_the_others() -> None:
    tight = placements(face_at(500, 500, 450), [], (1000, 1000), 512, 1.5)
    wide = placements(face_at(2000, 1200, 300), [], (4000, 3600), 512, 1.5)
    assert [option.framing for option in tight] == ["close-up"]
    assert counts(choose_framings([wide] * 12 + [tight] * 8, MIX)) == [8, 8, 4]
    assert counts(choose_framings([tight] * 20, MIX)) == [20, 0, 0]


def test_few_photographs_give_several_crops_of_different_framing() -> None:
    wide = placements(face_at(2000, 1200, 300), [], (4000, 3600), 512, 1.5)
    chosen = choose_framings([wide] * 6, MIX)
    assert counts(chosen) == [6, 6, 3]
    for index in range(6):
        framings = [placement.framing for number, placement in chosen if number == index]
        assert len(framings) == len(set(framings)) >= 2
    assert len(choose_framings([wide] * 2, MIX)) == 6


def test_square_crop_never_pads_or_stretches() -> None:
    image = Image.new("RGB", (100, 80), "red")
    assert square_crop(image, (10, 0, 90, 80), 64).size == (64, 64)
    for box in ((-1, 0, 79, 80), (30, 0, 110, 80), (0, 0, 50, 60)):
        with pytest.raises(ValueError, match="no square inside"):
            square_crop(image, box, 64)
