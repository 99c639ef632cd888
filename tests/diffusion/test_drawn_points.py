"""Points come back from drawn skeletons of several sizes and people; other drawings give none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dreamgui.config import ControlJob
from dreamgui.data.faces.body import LEAST_POINTS
from dreamgui.diffusion.control.control_image import make_control_map
from dreamgui.diffusion.control.control_maps import skeletons
from dreamgui.diffusion.control.drawn_points import drawn_points
from tests.diffusion.test_control_maps import standing


def people(side_px: int) -> list[np.ndarray]:
    """Two people side by side, the second without a wrist."""
    first = standing() * [side_px / 256, side_px / 128, 1.0]
    second = first + np.array([0.5 * side_px, 0.0, 0.0])
    second[4, 2] = 0
    return [first, second]


@pytest.mark.parametrize(("side_px", "form"), [(384, "JPEG"), (512, "PNG"), (1024, "JPEG")])
def test_points_of_two_people_come_back(side_px: int, form: str) -> None:
    wanted = people(side_px)
    file = io.BytesIO()
    skeletons(wanted, (side_px, side_px)).save(file, form, quality=92)
    found = sorted(drawn_points(Image.open(file)), key=lambda person: person[1, 0])
    assert len(found) == 2
    for ours, theirs in zip(found, wanted, strict=True):
        seen = theirs[:, 2] >= 0.5
        # Discs of points that are near each other lie over one another.
        assert (ours[:, 2] > 0).sum() >= seen.sum() - 2 and not ours[~seen, 2].any()
        both = seen & (ours[:, 2] > 0)
        apart = np.linalg.norm(ours[both, :2] - theirs[both, :2], axis=1)
        assert apart.max() <= 0.012 * side_px and apart.mean() <= 0.004 * side_px


def test_what_was_not_drawn_like_this_gives_none() -> None:
    drawing = skeletons(people(512), (512, 512))
    dim = drawing.point(lambda level: round(level * 0.6))
    more = drawing.copy()
    ImageDraw.Draw(more).ellipse((20, 300, 220, 500), "lime")
    for each in (dim, more, Image.new("RGB", (64, 64))):
        assert drawn_points(each) == ()


def test_a_ready_skeleton_is_measured_or_says_why_not(tmp_path: Path) -> None:
    drawing = skeletons(people(512)[:1], (512, 512))
    wide = Image.new("RGB", (1024, 512))
    wide.paste(drawing, (256, 0))
    for name, image in (("wide", wide), ("dim", drawing.point(lambda level: round(level * 0.7)))):
        image.save(tmp_path / f"{name}.png")
    job = ControlJob.model_validate({"control": "pose", "models": ("tiny",), "image": f"{tmp_path}/wide.png"})
    mapped = make_control_map(job, 256)
    [person] = mapped.people
    seen = person[:, 2] > 0
    assert seen.sum() >= LEAST_POINTS
    expected = people(512)[0][:, :2] * 0.25 + [64, 64]
    assert np.abs(person[seen, :2] - expected[seen]).max() < 4
    assert not any("isn't measured" in note for note in mapped.notes)
    drawn_otherwise = job.model_copy(update={"image": tmp_path / "dim.png", "image_is": "map"})
    other = make_control_map(drawn_otherwise, 256)
    assert other.people == () and any("isn't measured: dim.png" in note for note in other.notes)
