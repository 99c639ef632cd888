"""The drawn world: people stay the same, points and captions are right, the files hold what they should."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

TOOLS = Path(__file__).parents[2] / "tools" / "demo_model"
sys.path.insert(0, str(TOOLS))

import make_photos  # noqa: E402
import world  # noqa: E402

NOSE, NECK, RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_EYE, LEFT_EYE = 0, 1, 2, 5, 14, 15


def test_same_seed_gives_same_person_and_picture() -> None:
    person = world.identity(7)
    assert person == world.identity(7)
    assert person != world.identity(8)
    views = [world.scene(np.random.default_rng(3), person) for _ in range(2)]
    assert views[0] == views[1]
    first, second = (world.draw(person, view) for view in views)
    assert first.image.shape == (160, 160, 3)
    assert first.image.dtype == np.uint8
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.points, second.points)


def test_both_genders_and_all_places_can_be_drawn() -> None:
    rng = np.random.default_rng(0)
    genders = set()
    for index, place in enumerate(world.PLACES):
        person = world.identity(index)
        genders.add(person.gender)
        image = world.draw(person, world.scene(rng, person, place=place), 96, 64).image
        assert image.shape == (64, 96, 3)
        assert image.std() > 10
    assert genders == {"woman", "man"}
    assert set(world.PLACE_PHRASES) == set(world.PLACES)


def test_identities_are_diverse() -> None:
    people = [world.identity(seed) for seed in range(300)]
    assert 0.4 < np.mean([person.gender == "woman" for person in people]) < 0.6
    assert len({person.hair_style for person in people}) > 14
    assert all(person.beard == "none" for person in people if person.gender == "woman")


@pytest.mark.parametrize("framing", ["close", "medium", "full"])
def test_points_lie_in_the_picture_or_are_hidden(framing: str) -> None:
    rng = np.random.default_rng(1)
    for seed in range(25):
        person = world.identity(seed)
        drawing = world.draw(person, world.scene(rng, person, framing=framing))
        points = drawing.points
        assert points.shape == (18, 3)
        seen = points[:, 2] == 1
        assert (points[~seen] == 0).all()
        assert ((points[seen, :2] >= 0) & (points[seen, :2] < 160)).all()
        assert points[[NOSE, NECK, RIGHT_EYE, LEFT_EYE], 2].all()
        x0, y0, x1, y1 = drawing.face_box
        assert x0 < points[NOSE, 0] < x1
        assert y0 < points[NOSE, 1] < y1
        assert points[RIGHT_EYE, 0] < points[LEFT_EYE, 0]
        if framing == "full":
            assert points[8:14, 2].all()
            assert points[RIGHT_SHOULDER, 0] < points[LEFT_SHOULDER, 0]
            assert y1 - y0 > 21


def test_too_small_a_picture_is_refused() -> None:
    person = world.identity(0)
    with pytest.raises(ValueError, match="at least 32 px, got 20 x 20"):
        world.draw(person, world.scene(np.random.default_rng(0), person), 20)


def test_names_are_unique_short_and_not_held_back() -> None:
    assert len(world.NAMES) == len(set(world.NAMES)) == 1200
    assert not set(world.NAMES) & set(world.HELD_BACK)
    assert all(name.isascii() and name.isalpha() and name.islower() and len(name) < 5 for name in world.NAMES)


def test_names_are_single_tokens_of_clip() -> None:
    merges = Path("/work/shared/models/clip_bpe_simple_vocab_16e6.txt.gz")
    if not merges.exists():
        pytest.skip("CLIP's merges file isn't on this machine")
    lines = gzip.decompress(merges.read_bytes()).decode("utf-8").split("\n")[1:48895]
    tokens = {line.replace(" ", "") for line in lines}
    assert all(f"{name}</w>" in tokens for name in world.NAMES)


def test_captions_hold_the_prompts_that_dreambooth_uses() -> None:
    rng = np.random.default_rng(2)
    named, plain = set(), set()
    for seed in range(200):
        person = world.identity(seed)
        view = world.scene(rng, person, place=("snow", "forest")[seed % 2])
        four = world.captions(person, view, rng, "bona")
        assert len(four) == 4
        assert sum("bona" in caption.split() for caption in four) == 3
        named |= set(four)
        bare = world.captions(person, view, rng)
        assert not any("bona" in caption for caption in bare)
        plain |= set(bare)
    assert {"a photo of woman face", "a photo of man face", "a photo of a woman in the snow"} <= plain
    assert {"a photo of bona woman face", "a photo of bona woman face in the forest"} <= named
    assert any("full body" in caption for caption in plain)
    assert any(" with " in caption and "glasses" in caption for caption in plain)


def test_make_pictures_writes_the_same_with_any_number_of_workers(tmp_path: Path) -> None:
    script = TOOLS / "make_pictures.py"
    for workers, out in (("2", tmp_path / "two"), ("1", tmp_path / "one")):
        command = [sys.executable, str(script), "--count", "8", "--workers", workers, "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "8/8 pictures" in done.stdout
    images = np.load(tmp_path / "two" / "images.npy", mmap_mode="r")
    assert images.shape == (8, 160, 160, 3)
    np.testing.assert_array_equal(images, np.load(tmp_path / "one" / "images.npy"))
    lines = (tmp_path / "two" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["index"] for record in records] == list(range(8))
    assert sum(record["name"] is not None for record in records) == 4
    for record in records:
        assert record["identity"] < 1_000_000
        assert len(record["captions"]) == 4
        if record["name"]:
            assert record["name"] == world.NAMES[record["identity"] - world.NAME_SEED0]


def test_photos_are_large_and_one_is_rotated(tmp_path: Path) -> None:
    paths = list(make_photos.make_photos(9_000_000, 3, tmp_path))
    orientations = []
    for path in paths:
        with Image.open(path) as picture:
            orientations.append(picture.getexif().get(0x0112, 1))
            upright = ImageOps.exif_transpose(picture)
            assert upright is not None
            assert sorted(upright.size) == [900, 1200]
    assert sorted(orientations) == [1, 1, 6]
    assert all(path.name.startswith("IMG_") for path in paths)
