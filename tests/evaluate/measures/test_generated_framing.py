"""Yaw, size and sharpness of faces, and the sentence for a model that knows one view."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from dreamgui.data.faces.detect import detect_faces
from dreamgui.evaluate.measures.framing import Spread, View, view, yaw
from dreamgui.evaluate.measures.reading import read
from tests.data.class_pictures import framed
from tests.data.conftest import packaged
from tests.evaluate.test_reference import ASTRONAUT, HOPPER, NOBODY

# In units of the ears' distance: right eye, left eye, nose tip, mouth, right ear, left ear of the person, who looks
# at the camera from z = 0; x points to the picture's right, y down, z at the camera.
HEAD = np.array(
    [(-0.22, -0.2, 0.6), (0.22, -0.2, 0.6), (0, 0, 0.8), (0, 0.25, 0.65), (-0.5, 0, 0), (0.5, 0, 0)]
)


def spread(pictures: Iterable[Image.Image]) -> Spread:
    """The views of pictures, as a comparison reads them."""
    views = [read(picture).view for picture in pictures]
    return Spread(len(views), tuple(each for each in views if each))


def projected(turned: float, leaning: float = 0.0, size_px: float = 80) -> tuple[tuple[float, float], ...]:
    """The head's landmarks in pixels, turned to the picture's right and leaning, in degrees."""
    turn, lean = np.radians(turned), np.radians(leaning)
    x = HEAD[:, 0] * np.cos(turn) + HEAD[:, 2] * np.sin(turn)
    y = HEAD[:, 1]
    flat = np.stack([x * np.cos(lean) - y * np.sin(lean), x * np.sin(lean) + y * np.cos(lean)], 1)
    return tuple((float(a), float(b)) for a, b in flat * size_px + 100)


@pytest.mark.parametrize("turned", [-60, -30, -10, 0, 20, 45])
@pytest.mark.parametrize("leaning", [-25, 0, 40])
def test_yaw_of_a_turned_head(turned: float, leaning: float) -> None:
    assert yaw(projected(turned, leaning)) == pytest.approx(turned, abs=0.1)


def test_yaw_needs_ears() -> None:
    assert yaw(projected(0)[:3]) is None and yaw(((1.0, 1.0),) * 6) is None


def test_a_mirrored_photograph_looks_the_other_way() -> None:
    for image in (ASTRONAUT, HOPPER):
        here, there = (yaw(detect_faces(picture)[0].landmarks) for picture in (image, ImageOps.mirror(image)))
        assert here is not None and there is not None
        assert here == pytest.approx(-there, abs=8)


def test_a_blurred_face_is_less_sharp() -> None:
    [face] = detect_faces(ASTRONAUT)[:1]
    sharp, soft, softer = (
        view(ASTRONAUT.filter(ImageFilter.GaussianBlur(radius)), face).sharpness for radius in (0, 1, 3)
    )
    assert sharp > 2 * soft > 4 * softer


def test_spread_sees_framings() -> None:
    photograph = packaged("skimage", "data/astronaut.png")
    one = spread([framed(photograph, "close-up", 256)] * 2)
    mixed = spread([framed(photograph, "close-up", 256), framed(photograph, "medium", 256), NOBODY])
    assert one.pictures == 2 and len(one.views) == 2 and one.size_spread == 0 and one.close_up_share == 1
    assert mixed.pictures == 3 and len(mixed.views) == 2
    assert mixed.size_spread is not None and mixed.size_spread > 0.4 and mixed.close_up_share == 0.5


def views(count: int, yaw_degrees: float | None, share: float) -> Spread:
    return Spread(count, tuple(View(yaw_degrees, share, 100.0) for _ in range(count)))


def test_a_model_of_one_view_is_told_so() -> None:
    assert "anna generates frontal close-ups only, in 6 pictures" in views(6, 4, 0.5).sentence("anna")
    assert "frontal faces only" in views(6, -4, 0.2).sentence("anna")
    assert "close-ups only" in views(6, 40, 0.5).sentence("anna")
    assert "close-ups only" in views(6, None, 0.5).sentence("anna")
    assert views(6, 40, 0.2).sentence("anna") == ""
    assert views(4, 0, 0.5).sentence("anna") == "", "four faces say too little"
    mixed = Spread(6, (*views(4, 0, 0.5).views, *views(2, 30, 0.2).views))
    assert mixed.sentence("anna") == ""
    assert mixed.frontal_share == pytest.approx(4 / 6) and mixed.yaw_spread == pytest.approx(
        np.std([0] * 4 + [30] * 2, ddof=1)
    )


def test_no_picture_has_no_spread() -> None:
    empty = spread([Image.new("RGB", (64, 64))])
    assert empty == Spread(1, ()) and empty.sentence("anna") == ""
    assert (empty.yaw_spread, empty.size_spread, empty.sharpness, empty.frontal_share) == (None,) * 4


def test_the_bundled_photographs_have_many_framings() -> None:
    folder = Path(__file__).resolve().parents[3] / "assets" / "demo" / "photos"
    found = spread(Image.open(path) for path in sorted(folder.glob("*.jpg"))[:8])
    assert len(found.views) >= 6 and found.sentence("photographs") == ""
