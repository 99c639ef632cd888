"""Draws the 'raw photographs' of one person: larger, off-centre, in many places, as they might come from a
phone.

python tools/demo_model/make_photos.py --person 9000048 --count 20 --out DIR

One file is stored lying on its side with EXIF orientation 6. Needs numpy, OpenCV and Pillow.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from world import PLACES, Identity, Scene, draw, identity, scene
from world.scene import Framing

DEFAULT_PERSON = 9_000_048
JPEG_QUALITY = 88
ROTATED = 5
_ORIENTATION_TAG, _TURN_RIGHT_TO_VIEW = 0x0112, 6
_SIZES = ((1200, 900), (900, 1200), (1200, 900), (900, 1200), (1600, 1200))
_FRAMINGS: tuple[Framing, ...] = ("medium", "close", "medium", "full", "medium", "close", "medium")


def photo_scene(rng: np.random.Generator, person: Identity, index: int, place: str) -> Scene:
    """A scene for photograph `index`: the person stands further away and more to the side than in the
    training pictures, in mostly plain light."""
    framing = _FRAMINGS[index % len(_FRAMINGS)]
    view = scene(rng, person, framing=framing, place=place)
    distance = {"close": rng.uniform(0.72, 0.9), "medium": rng.uniform(0.85, 1.0), "full": 0.96}[framing]
    aside = {"close": 0.14, "medium": 0.17, "full": 0.2}[framing]
    return replace(
        view, unit=view.unit * distance, head_x=0.5 + float(rng.uniform(-aside, aside)), place_seed=index + 1
    )


def make_photos(person_seed: int, count: int, out: Path) -> Iterator[Path]:
    """Writes `count` JPEG files and yields their paths; the same each time for the same person."""
    out.mkdir(parents=True, exist_ok=True)
    person = identity(person_seed)
    rng = np.random.default_rng([person_seed, count])
    places = np.resize(rng.permutation(len(PLACES)), count)
    number = 412
    for index in range(count):
        width_px, height_px = _SIZES[index % len(_SIZES)]
        view = photo_scene(rng, person, index, PLACES[places[index]])
        picture = Image.fromarray(draw(person, view, width_px, height_px).image)
        exif = Image.Exif()
        if index == min(ROTATED, count - 1):
            picture = picture.transpose(Image.Transpose.ROTATE_90)
            exif[_ORIENTATION_TAG] = _TURN_RIGHT_TO_VIEW
        path = out / f"IMG_{number:04d}.jpg"
        picture.save(path, quality=JPEG_QUALITY, optimize=True, exif=exif)
        number += int(rng.integers(1, 9))
        yield path


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws raw photographs of one person.")
    parser.add_argument(
        "--person", type=int, default=DEFAULT_PERSON, help="identity seed, from 9000000 held out"
    )
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.person < 0 or options.count < 1:
        parser.error(
            f"--person must not be negative and --count at least 1, got {options.person} and {options.count}"
        )
    total = 0
    for path in make_photos(options.person, options.count, options.out):
        total += path.stat().st_size
        print(f"{path} {path.stat().st_size / 1024:.0f} KiB")
    print(f"{options.count} photographs, {total / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
