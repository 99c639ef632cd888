"""Edges and body points of a picture against those of its map, on made cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dreamgui.evaluate.following import Followed, edge_recall, pose_figures
from tests.data.conftest import packaged
from tests.diffusion.test_control_maps import standing

SIZE = (128, 128)


def lines(*columns: int) -> Image.Image:
    image = Image.new("RGB", SIZE)
    for x in columns:
        ImageDraw.Draw(image).line((x, 0, x, SIZE[1]), fill="white")
    return image


@pytest.mark.parametrize(
    ("columns", "recall"), [((30, 90), 1.0), ((32, 88), 1.0), ((33, 90), 0.5), ((50,), 0.0), ((), 0.0)]
)
def test_edges_count_up_to_2_pixels(columns: tuple[int, ...], recall: float) -> None:
    assert edge_recall(lines(30, 90), lines(*columns)) == recall


def test_the_distance_is_a_circle() -> None:
    point, near, far = (Image.new("L", SIZE) for _ in range(3))
    point.putpixel((60, 60), 255)
    near.putpixel((61, 61), 255)
    far.putpixel((62, 62), 255)
    assert (edge_recall(point, near), edge_recall(point, far)) == (1.0, 0.0)


def test_a_map_without_edges_has_no_recall_and_sizes_must_agree() -> None:
    assert edge_recall(lines(), lines(3)) is None
    with pytest.raises(ValueError, match="a map of"):
        edge_recall(lines(3), Image.new("RGB", (64, 64)))


def test_points_count_within_6_percent_of_the_width() -> None:
    wanted, moved = standing(), standing()
    moved[:9, 0] += 0.05 * 128
    moved[9:, 0] += 0.07 * 128
    figures = pose_figures([wanted], [moved], 128)
    assert figures["pose_within"] == 0.5 and figures["pose_distance"] == pytest.approx(0.06)
    moved[9:, 2] = 0.1
    assert pose_figures([wanted], [moved], 128) == {
        "pose_within": 0.5,
        "pose_distance": pytest.approx(0.05),
    }, "unseen points aren't followed and have no distance"


def test_people_are_matched_and_missing_ones_count() -> None:
    left, right = standing() - np.array([20, 0, 0]), standing() + np.array([20, 0, 0])
    assert pose_figures([left, right], [right, left], 128) == {"pose_within": 1.0, "pose_distance": 0.0}
    assert pose_figures([left, right], [right], 128)["pose_within"] in (0.0, 0.5)
    assert pose_figures([left], [], 128) == {"pose_within": 0.0, "pose_distance": None}
    assert pose_figures([], [left], 128) == {"pose_within": None, "pose_distance": None}


def test_a_photograph_follows_its_own_pose() -> None:
    from dreamgui.data.faces.body import detect_bodies

    picture = Image.open(packaged("skimage", "data/astronaut.png")).convert("RGB")
    followed = Followed(picture, people=tuple(detect_bodies(picture)))
    assert followed.figures(picture) == {"pose_within": 1.0, "pose_distance": 0.0}
    assert followed.figures(Image.new("RGB", picture.size)) == {"pose_within": 0.0, "pose_distance": None}
