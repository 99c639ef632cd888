"""Photographs for benchmarks/dataset.py: composed here, so that it is known who is where in them.

People: those of ../shared/photos where that folder is (Obama in four photographs, Biden in two),
scikit-image's astronaut, Matplotlib's Grace Hopper, and drawn people of tools/demo_model/world. A person is
cut out with some of what is around the head, made larger or smaller, sometimes mirrored, lighter or darker,
and pasted with a soft edge on scikit-image's pictures of things, with noise and crossed by coloured shapes.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools" / "demo_model")]

from make_photos import make_photos

from dreamgui.data.faces.detect import Box, detect_faces
from dreamgui.data.photos.load import load_image

SHARED = ROOT.parent / "shared" / "photos"
BACKGROUNDS = ("coffee.png", "rocket.jpg", "motorcycle_left.png", "chelsea.png", "gravel.png", "brick.png")
SIZES = ((1600, 1200), (1200, 1600), (2400, 1800), (1800, 2400))
TURNS = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
AROUND = (0.75, 0.75, 0.75, 0.9)
SMALLEST_PX, LARGEST_PX = 24, 420
FIRST_DRAWN = 9_000_300
PHOTOGRAPHS = 8


def packaged(package: str, file: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / file


@dataclass(frozen=True)
class Portrait:
    """A person's head and some of what is around it; ``face`` is the face's box in it."""

    picture: Image.Image
    face: Box

    @property
    def face_px(self) -> float:
        return max(self.face[2] - self.face[0], self.face[3] - self.face[1])


@dataclass(frozen=True)
class Person:
    name: str
    portraits: tuple[Portrait, ...]


@dataclass(frozen=True)
class Truth:
    """Where the faces of a scene are, in pixels of the upright picture; the subject first."""

    faces: tuple[Box, ...]
    people: tuple[str, ...] = field(default=())

    @property
    def subject_px(self) -> float:
        x0, y0, x1, y1 = self.faces[0]
        return max(x1 - x0, y1 - y0)


def portrait(path: Path) -> Portrait:
    """The largest face of a photograph with half to nearly all of its side around it."""
    image = load_image(path)
    face = max(detect_faces(image), key=lambda found: found.size_px)
    x0, y0, x1, y1 = face.box
    side = face.size_px
    left, top = max(0, round(x0 - AROUND[0] * side)), max(0, round(y0 - AROUND[1] * side))
    right = min(image.width, round(x1 + AROUND[2] * side))
    bottom = min(image.height, round(y1 + AROUND[3] * side))
    return Portrait(image.crop((left, top, right, bottom)), face.moved(-left, -top).box)


@cache
def real_people() -> tuple[Person, ...]:
    """Those with several photographs first."""
    found = []
    if SHARED.is_dir():
        for name in ("obama", "biden"):
            files = sorted(SHARED.glob(f"{name}_*.jpg"))
            found.append(Person(name, tuple(portrait(file) for file in files)))
    for name, package, file in (
        ("astronaut", "skimage", "data/astronaut.png"),
        ("hopper", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ):
        found.append(Person(name, (portrait(packaged(package, file)),)))
    return tuple(found)


def drawn_person(number: int, folder: Path) -> Person:
    files = list(make_photos(FIRST_DRAWN + number, PHOTOGRAPHS, folder / f"drawn-{number}"))
    return Person(
        f"drawn {number}", tuple(portrait(file) for file in files if detect_faces(load_image(file)))
    )


def clutter(dice: random.Random, size: tuple[int, int]) -> Image.Image:
    """A background full of edges."""
    image = load_image(packaged("skimage", f"data/{dice.choice(BACKGROUNDS)}")).resize(size)
    pen = ImageDraw.Draw(image)
    for _ in range(dice.randint(5, 25)):
        x, y, reach = dice.randrange(size[0]), dice.randrange(size[1]), dice.randint(10, 200)
        colour = tuple(dice.randrange(256) for _ in range(3))
        pen.ellipse(
            (x, y, x + reach, y + dice.randint(10, 200)), fill=colour
        ) if dice.random() < 0.5 else pen.line(
            (x, y, dice.randrange(size[0]), dice.randrange(size[1])), fill=colour, width=dice.randint(2, 12)
        )
    noise = np.random.default_rng(dice.randrange(2**31)).normal(0, 6, (size[1], size[0], 1))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def paste(
    dice: random.Random, scene: Image.Image, who: Portrait, face_px: float, taken: list[Box]
) -> Box | None:
    """Put a person where there is room; the face's box in the scene, None where there is no room."""
    scale = face_px / who.face_px
    size = (max(8, round(who.picture.width * scale)), max(8, round(who.picture.height * scale)))
    if size[0] > scene.width or size[1] > scene.height:
        return None
    picture = who.picture.resize(size, Image.Resampling.LANCZOS)
    x0, y0, x1, y1 = (value * scale for value in who.face)
    if dice.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x0, x1 = size[0] - x1, size[0] - x0
    picture = ImageEnhance.Brightness(picture).enhance(dice.uniform(0.7, 1.25))
    soft = max(1, round(min(size) * 0.06))
    mask = Image.new("L", size, 0)
    mask.paste(255, (soft, soft, size[0] - soft, size[1] - soft))
    mask = mask.filter(ImageFilter.GaussianBlur(soft / 2))
    for _ in range(60):
        x, y = dice.randint(0, scene.width - size[0]), dice.randint(0, scene.height - size[1])
        place = (x, y, x + size[0], y + size[1])
        if all(place[2] <= o[0] or o[2] <= place[0] or place[3] <= o[1] or o[3] <= place[1] for o in taken):
            scene.paste(picture, (x, y), mask)
            taken.append(place)
            return x + x0, y + y0, x + x1, y + y1
    return None


def compose(
    dice: random.Random, subject: Person, number: int, others: tuple[Person, ...], file: Path
) -> Truth:
    """One scene of one to four people, saved as a JPEG that may lie on its side."""
    scene = clutter(dice, dice.choice(SIZES))
    subject_px = SMALLEST_PX * (LARGEST_PX / SMALLEST_PX) ** dice.random()
    taken: list[Box] = []
    face = paste(dice, scene, subject.portraits[number % len(subject.portraits)], subject_px, taken)
    assert face is not None, "an empty scene has room for one person"
    faces, names = [face], [subject.name]
    company = dice.sample(others, min(len(others), dice.randint(0, 3)))
    for other in company:
        size = min(LARGEST_PX, max(SMALLEST_PX, subject_px * dice.uniform(0.6, 1.5)))
        if box := paste(dice, scene, dice.choice(other.portraits), size, taken):
            faces.append(box)
            names.append(other.name)
    exif = Image.Exif()
    if orientation := dice.choice((0, 3, 6, 8)):
        exif[0x0112] = orientation
        scene = scene.transpose(TURNS[orientation])
    scene.save(file, quality=90, exif=exif)
    return Truth(tuple(faces), tuple(names))


def scene_sets(count: int, per_set: int, folder: Path) -> Iterator[tuple[str, dict[str, Truth], Path]]:
    """Sets of scenes about one person each: (what the subject is, truth by file name, folder).

    In real sets the others are the other real people and the drawn ones, in drawn sets the drawn ones.
    """
    dice = random.Random(3)
    real = real_people()
    subjects = [person for person in real if len(person.portraits) > 1]
    generated = tuple(drawn_person(number, folder) for number in range(10))
    for number in range(count):
        kind = "real" if subjects and number % 2 == 0 else "drawn"
        crowd = real + generated if kind == "real" else generated
        # Two of three real sets are about the person with more photographs.
        subject = (
            subjects[number // 2 % 3 % len(subjects)]
            if kind == "real"
            else generated[number // 2 % len(generated)]
        )
        others = tuple(person for person in crowd if person is not subject)
        place = folder / f"set-{number:02d}"
        place.mkdir()
        truths = {
            f"s{index:02d}.jpg": compose(dice, subject, index, others, place / f"s{index:02d}.jpg")
            for index in range(per_set)
        }
        yield kind, truths, place


def large_photographs(count: int, folder: Path) -> Path:
    """Photographs of 4000 x 3000 pixels, a fifth of them stored on their side; 40 are different, the others
    repeat them under other names."""
    dice = random.Random(5)
    subject = real_people()[0]
    folder.mkdir()
    for number in range(count):
        file = folder / f"IMG_{number:04d}.jpg"
        if number >= 40:
            file.hardlink_to(folder / f"IMG_{number % 40:04d}.jpg")
            continue
        scene = clutter(dice, (4000, 3000))
        who = subject.portraits[number % len(subject.portraits)]
        paste(dice, scene, who, dice.uniform(250, 1000), [])
        exif = Image.Exif()
        if number % 5 == 0:
            exif[0x0112] = 6
            scene = scene.transpose(TURNS[6])
        scene.save(file, quality=93, exif=exif)
    return folder
