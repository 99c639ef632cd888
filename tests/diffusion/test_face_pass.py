"""The square around a face and how it is blended in."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dreamgui.data.faces.detect import Face
from dreamgui.diffusion.generate.face_pass import FaceSquare, face_square


def found(monkeypatch: pytest.MonkeyPatch, *boxes: tuple[float, float, float, float]) -> None:
    faces = [Face(box, 0.9, ()) for box in boxes]
    monkeypatch.setattr("dreamgui.diffusion.generate.face_pass.detect_faces", lambda _: faces)


def test_the_largest_small_face_has_a_square_inside_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.new("RGB", (200, 300))
    found(monkeypatch, (0, 0, 40, 40), (100, 100, 110, 110))
    square = face_square(picture)
    assert square is not None and square.box == (0, 0, 88, 88)
    found(monkeypatch, (20, 20, 180, 180))
    assert face_square(picture) is None
    found(monkeypatch)
    assert face_square(picture) is None


@pytest.mark.parametrize("box", [(0, 0, 88, 88), (60, 90, 148, 178), (112, 212, 200, 300)])
def test_the_blend_changes_the_face_and_nothing_outside(box: tuple[int, int, int, int]) -> None:
    picture, generated = Image.new("RGB", (200, 300), "black"), Image.new("RGB", (64, 64), "white")
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    face = Face((centre_x - 20, centre_y - 20, centre_x + 20, centre_y + 20), 0.9, ())
    blended = np.asarray(FaceSquare(box, face).blended(picture, generated))[..., 0]
    assert (
        blended[
            round(centre_y) - 15 : round(centre_y) + 15, round(centre_x) - 15 : round(centre_x) + 15
        ].min()
        > 250
    )
    inside = np.zeros_like(blended, dtype=bool)
    inside[box[1] + 1 : box[3] - 1, box[0] + 1 : box[2] - 1] = True
    assert blended[~inside].max() <= 10
    steps = np.abs(np.diff(blended.astype(int), axis=0))
    assert steps.max() < 80
