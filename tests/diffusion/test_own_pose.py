"""Skeletons of points that a user set: drawn as found ones are, and back; wrong texts are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from dreamgui.config import ControlJob
from dreamgui.diffusion.control.control_image import make_control_map
from dreamgui.diffusion.control.own_pose import own_pose, pose_text
from dreamgui.errors import BadInput
from tests.data.conftest import packaged
from tests.diffusion.test_control_maps import standing

ASTRONAUT = packaged("skimage", "data/astronaut.png")


def job(**changes: object) -> ControlJob:
    return ControlJob.model_validate({"control": "pose", "models": ("tiny",), **changes})


def test_points_come_back_from_their_text() -> None:
    people = [standing(), standing() + np.array([9.0, 4.0, 0.0])]
    people[1][3, 2] = 0.1
    _, found = own_pose(pose_text(people, (128, 128)), 128)
    assert [person[:, 2].sum() for person in found] == [18, 17]
    for ours, theirs in zip(found, people, strict=True):
        seen = theirs[:, 2] >= 0.5
        assert np.abs(ours[seen, :2] - theirs[seen, :2]).max() < 0.01


def test_a_found_pose_and_its_points_give_nearly_the_same_map() -> None:
    found = make_control_map(job(image=ASTRONAUT), 256)
    again = make_control_map(job(pose=pose_text(found.people, found.map.size)), 256)
    difference = np.abs(np.asarray(found.map, float) - np.asarray(again.map, float))
    assert difference.mean() < 0.5 and again.map.getbbox() is not None and again.notes == []
    assert make_control_map(job(image=ASTRONAUT, pose="[]"), 256).source == found.source


def test_a_blank_board_is_black_and_said() -> None:
    mapped = make_control_map(job(pose="[]"), 64)
    assert mapped.map.getbbox() is None and mapped.people == ()
    assert [note for note in mapped.notes if "blank board" in note]


def test_people_without_a_point_inside_are_refused() -> None:
    for point in (None, [1.5, 0.5]):
        with pytest.raises(BadInput, match="none of their points"):
            make_control_map(job(pose=json.dumps([[point] * 18])), 64)


@pytest.mark.parametrize(
    "pose", ["{", "{}", "[[]]", "[[1]]", json.dumps([[[0.5]] * 18]), json.dumps([[[0.5, 9]] * 18]), "[[NaN]]"]
)
def test_wrong_texts_are_refused(pose: str) -> None:
    with pytest.raises(ValidationError):
        job(pose=pose)


def test_an_image_is_needed_for_edges_and_without_points() -> None:
    assert job(pose="[]").image is None
    for changes in (
        {"pose": ""},
        {"pose": "[]", "control": "canny"},
        {"pose": "[]", "second_control": "canny"},
    ):
        with pytest.raises(ValidationError):
            job(**changes)
    assert job(pose="[]", second_control="canny", second_image=ASTRONAUT).second is not None
