"""Plan of a set of class images, and the check that a generated one shows what its prompt asked for.

Asked for a face, Stable Diffusion 1.5 generates close-ups only. A model that was preserved on those forgets how
to generate the class any wider, so the set follows the framings of the person's own pictures. Each framing has
a series of its own: sets of another size or mix share what they have in common.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dreamgui.config import CropJob, Framing
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.framing import FRAMINGS, SHOTS, choose_subject
from dreamgui.workspace import write_atomic

MOST = 2000
"""So many class images a set can have."""
_PHRASES: dict[Framing, str] = {"close-up": "close-up", "medium": "portrait", "full": "full body"}
_FACE_WORD = re.compile(r"(?<!\ba)(?<!\bthe)(?<!\bof)\s+face\b", re.IGNORECASE)
_TOLERANCE = log(1.15)
Mix = Mapping[Framing, int]


@dataclass(frozen=True)
class Slot:
    """One class image of a set.

    Attributes:
        index: its place in the set, from 0.
        framing: what its prompt asks for; None where the prompt is the class prompt alone.
        number: its place among those of this framing, from 0.
    """

    index: int
    framing: Framing | None
    number: int

    @property
    def file(self) -> str:
        """The name of its file. It is the same in every set that has it."""
        return f"{self.framing or 'plain'}-{self.number:05d}.png"

    def seed(self, first: int, attempt: int) -> int:
        """The seed of an attempt (from 0). No two pictures of a set share a seed.

        The first attempts of a framing have consecutive seeds, from ``first`` for close-ups and plain ones.
        """
        row = FRAMINGS.index(self.framing) if self.framing else 0
        return first + (attempt * len(FRAMINGS) + row) * MOST + self.number


@dataclass(frozen=True)
class Look:
    """Content of a class image: ``face_share`` is its largest face's share of the side, 0 without a face.
    ``misfit`` is 0 where face and framing are right, else how far off they are."""

    face_share: float
    misfit: float

    @property
    def right(self) -> bool:
        """Return whether it shows what was asked for."""
        return self.misfit == 0


def mix_of(dataset: Dataset | None) -> Mix:
    """Return how many pictures in use have each framing. Without a dataset, return the shares that crops aim at."""
    if dataset is None:
        close, medium = (
            round(CropJob.model_fields[name].default * 100) for name in ("close_up_share", "medium_share")
        )
        return {"close-up": close, "medium": medium, "full": 100 - close - medium}
    used = {path for path, _ in dataset.images()}
    counts = Counter(entry.framing for entry in dataset.entries if dataset.path(entry) in used)
    return {framing: counts[framing] for framing in FRAMINGS} if counts else mix_of(None)


def plan_slots(count: int, mix: Mix | None) -> list[Slot]:
    """The slots of a set. A smaller set is the beginning of a larger one.

    Args:
        count: how many.
        mix: wanted relation of the framings, kept at every length as well as whole pictures allow; None for
            pictures of the class prompt alone.
    """
    slots: list[Slot] = []
    have: Counter[Framing | None] = Counter()
    for index in range(count):
        framing = _most_wanted(index, mix, have) if mix else None
        slots.append(Slot(index, framing, have[framing]))
        have[framing] += 1
    return slots


def _most_wanted(index: int, mix: Mix, have: Counter[Framing | None]) -> Framing:
    total = sum(mix.values())
    return max(FRAMINGS, key=lambda framing: mix[framing] * (index + 1) - have[framing] * total)


def framed_prompt(class_prompt: str, framing: Framing | None) -> str:
    """The class prompt with the framing said. Wider than a close-up, "woman face" becomes "woman", as the
    word brings the camera near."""
    if framing is None:
        return class_prompt
    stem = class_prompt if framing == "close-up" else _FACE_WORD.sub("", class_prompt)
    return f"{stem}, {_PHRASES[framing]}"


def look_at(image: Image.Image, framing: Framing | None) -> Look:
    """Measure a generated, square picture: the detector's largest face, and how far it is from this framing.

    A share of the side up to 15 % outside the framing's limits counts as right; without a framing, any face
    does.
    """
    faces = detect_faces(image)
    share = choose_subject(faces, image.size).size_px / image.width if faces else 0.0
    return _judged(share, framing)


def _judged(share: float, framing: Framing | None) -> Look:
    if share <= 0:
        return Look(0.0, inf)
    if framing is None:
        return Look(share, 0.0)
    shot = SHOTS[framing]
    outside = max(log(shot.least / share), log(share / shot.most))
    return Look(share, outside if outside > _TOLERANCE else 0.0)


def write_generated(file: Path, image: Image.Image, prompt: str, seed: int, look: Look) -> None:
    """Keep a generated picture, with its settings and measures as texts inside the PNG file."""
    texts = PngInfo()
    for key, value in (("prompt", prompt), ("seed", seed), ("face_share", f"{look.face_share:.3f}")):
        texts.add_itxt(key, str(value))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=texts)
    write_atomic(file, buffer.getvalue())


def read_generated(file: Path, framing: Framing | None) -> Look | None:
    """Return what a kept picture showed when it was generated, or None where it is missing or damaged."""
    try:
        with Image.open(file) as image:
            share = float(image.info["face_share"])
            image.verify()
    except (OSError, SyntaxError, KeyError, ValueError):
        return None
    return _judged(share, framing)
