"""Likeness is measured against photographs that no training has seen, and says so where it can't be."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from dreamgui.data.crop import Photograph
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.framing import Placement
from dreamgui.evaluate.reference import reference_of
from tests.data.conftest import packaged

SIDE_PX = 256


def face(package: str, file: str) -> Image.Image:
    image = Image.open(packaged(package, file)).convert("RGB")
    x0, y0, x1, y1 = max(detect_faces(image), key=lambda found: found.size_px).box
    side, x, y = (y1 - y0) * 2, (x0 + x1) / 2, (y0 + y1) / 2
    box = (round(x - side / 2), round(y - side / 2), round(x + side / 2), round(y + side / 2))
    return image.crop(box).resize((SIDE_PX, SIDE_PX))


ASTRONAUT = face("skimage", "data/astronaut.png")
HOPPER = face("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")
NOBODY = Image.new("RGB", (SIDE_PX, SIDE_PX), "grey")


def dataset(folder: Path, *pictures: tuple[Image.Image, bool]) -> Dataset:
    """A dataset of one crop a photograph; the second of each pair says whether it is held out."""
    made = Dataset.create(folder / "datasets" / "anna", SIDE_PX, 1.5, "a photo", "anna")
    for number, (image, aside) in enumerate(pictures):
        kept = folder / "uploads" / f"{number:04d}.png"
        box = (0, 0, SIDE_PX, SIDE_PX)
        [found] = detect_faces(image)[:1] or detect_faces(ASTRONAUT)[:1]
        photograph = Photograph(f"{number}.png", kept, image.size, found, ())
        made.add(photograph, Placement("close-up", box, 0.5, 1.0, 0, False), image, held_out=aside)
    return made


def brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.2)


def test_the_held_out_faces_are_the_reference(tmp_path: Path) -> None:
    found = reference_of(
        dataset(tmp_path, (HOPPER, False), (ASTRONAUT, True), (brighter(ASTRONAUT), True), (NOBODY, True))
    )
    assert (found.photographs, found.held_out, found.notes) == (2, True, ())
    assert "2 held-out photographs" in found.sentence
    assert found.person is not None
    alike, other = found.person.score(ASTRONAUT), found.person.score(HOPPER)
    assert alike is not None and other is not None and alike > 0.8 > 0.4 > other


@pytest.mark.parametrize("second", [NOBODY, None])
def test_one_held_out_face_is_too_few_and_that_is_said(tmp_path: Path, second: Image.Image | None) -> None:
    more = [(second, True)] if second else []
    found = reference_of(dataset(tmp_path, (HOPPER, False), (ASTRONAUT, True), *more))
    assert (found.photographs, found.held_out, found.notes) == (2, False, (found.sentence,))
    assert "all 2 photographs" in found.sentence and "fewer than 2 held-out" in found.sentence


def test_dropped_crops_do_not_count(tmp_path: Path) -> None:
    made = dataset(tmp_path, (HOPPER, False), (ASTRONAUT, True), (brighter(ASTRONAUT), True))
    made.drop(made.entries[2].file)
    assert not reference_of(made).held_out
    for entry in made.entries:
        made.drop(entry.file)
    assert reference_of(made).person is None and "No face" in reference_of(made).sentence
