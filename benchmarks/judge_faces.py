"""Rows of judge.py on pictures that nobody generated: recognition, prompt fidelity and copies."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import skimage
import world
from make_photos import make_photos
from PIL import Image, ImageEnhance, ImageOps

from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.photos.load import load_image
from dreamgui.evaluate.measures.identity import References
from dreamgui.evaluate.measures.memorising import Crop, perceptual_hash
from dreamgui.evaluate.measures.memorising import copies as found_copies
from dreamgui.evaluate.measures.recogniser import Dlib
from dreamgui.evaluate.measures.scene import bundled_scenes

SHARED = Path(__file__).resolve().parents[2] / "shared" / "photos"
FALLBACK = Path("/work/shared/photos")
FIRST_PERSON, PERSONS, PHOTOS = 9_200_001, 8, 6
DREAM = Dlib()


def auc(same: Sequence[float], other: Sequence[float]) -> float:
    """Return the share of pairs (same, other) in which the same person's value is higher; ties count half."""
    table = np.subtract.outer(np.array(same), np.array(other))
    return float(((table > 0) + 0.5 * (table == 0)).mean())


def similarities(vectors: Mapping[str, Sequence[np.ndarray]]) -> tuple[list[float], list[float]]:
    """Identity similarity of each picture to its own person's other pictures, and to each other person's."""
    same, other = [], []
    for person, own in vectors.items():
        for number, face in enumerate(own):
            rest = {str(n): vector for n, vector in enumerate(own) if n != number}
            if score := References("dlib", {}, rest).score(face):
                same.append(score.pairs)
            for stranger, theirs in vectors.items():
                if stranger != person:
                    score = References("dlib", {}, {str(n): v for n, v in enumerate(theirs)}).score(face)
                    other += [score.pairs] if score else []
    return same, other


def _pairs(vectors: Mapping[str, Sequence[np.ndarray]]) -> tuple[list[float], list[float]]:
    """Cosines of single pictures of one person, and of two."""
    same = [float(a @ b) for own in vectors.values() for a, b in combinations(own, 2)]
    other = [
        float(a @ b) for (_, one), (_, two) in combinations(vectors.items(), 2) for a in one for b in two
    ]
    return same, other


def _embedded(pictures: Sequence[Image.Image]) -> list[np.ndarray]:
    return [vector for picture in pictures if (vector := DREAM.embed(picture)) is not None]


def _row(what: str, must: float, vectors: Mapping[str, Sequence[np.ndarray]], note: str) -> Mapping[str, Any]:
    value = auc(*similarities(vectors))
    counts = {name: len(own) for name, own in vectors.items()}
    return {
        "what": what,
        "must": f"AUC at least {must}",
        "measured": {
            "auc": round(value, 4),
            "auc_of_single_pairs": round(auc(*_pairs(vectors)), 4),
            "pictures": counts,
        },
        "reached": value >= must,
        "note": note,
    }


def drawn(home: Path) -> Mapping[str, Any]:
    """Photographs of drawn persons, six each, in any framing, place and light."""
    vectors = {}
    for number in range(FIRST_PERSON, FIRST_PERSON + PERSONS):
        paths = list(make_photos(number, PHOTOS, home / "judge-persons" / str(number)))
        vectors[str(number)] = _embedded([load_image(path) for path in paths])
    note = "Each picture against the other pictures of its person, and against those of each other person."
    return _row("identity ranks the same drawn person over another", 0.97, vectors, note)


def real(home: Path) -> Mapping[str, Any]:
    """Photographs of real persons."""
    folder = SHARED if SHARED.is_dir() else FALLBACK
    astronaut = load_image(Path(skimage.__file__).parent / "data" / "astronaut.png")
    hopper = load_image(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    vectors = {"astronaut": _embedded([astronaut]), "hopper": _embedded([hopper])}
    for person in ("biden", "obama"):
        vectors[person] = _embedded([load_image(path) for path in sorted(folder.glob(f"{person}*.jpg"))])
    note = "scikit-image's astronaut and matplotlib's Hopper have one photograph each and count as strangers only."
    if not folder.is_dir():
        note = f"{folder} isn't here, so nobody has two photographs."
        return {"what": "identity ranks the same real person over another", "must": "AUC at least 0.99",
                "measured": {}, "reached": None, "note": note}  # fmt: skip
    return _row("identity ranks the same real person over another", 0.99, vectors, note)


def fidelity(home: Path) -> Mapping[str, Any]:
    """Drawn pictures of each place; the prompt with the right place against one with the next place."""
    scenes, rng = bundled_scenes(), np.random.default_rng(11)
    assert scenes is not None, "assets/judges belongs to the program"
    falls = []
    for number in range(5 * len(world.PLACES)):
        place, other = (
            world.PLACES[(number + step) % len(world.PLACES)] for step in (0, 1 + number // len(world.PLACES))
        )
        view = world.scene(rng, world.identity(9_300_000 + number), place=place)
        image = Image.fromarray(world.draw(world.identity(9_300_000 + number), view).image)
        right, wrong = (
            scenes.fidelity(image, f"a photo of sks woman face {world.PLACE_PHRASES[each]}")
            for each in (place, other)
        )
        falls.append((right or 0.0) > (wrong or 0.0))
    share = float(np.mean(falls))
    return {
        "what": "prompt fidelity falls when the place in the prompt is swapped",
        "must": "9 of 10",
        "measured": {"share": round(share, 4), "pictures": len(falls)},
        "reached": share >= 0.9,
        "note": "The scene judge of the bundled model, on drawn pictures of places; each against another place.",
    }


def copies(home: Path) -> Mapping[str, Any]:
    """Close-ups of drawn persons: planted copies of trained ones among fresh photographs of the same person."""
    planted = missed = wrong = fresh = 0
    for number in range(FIRST_PERSON, FIRST_PERSON + PERSONS):
        paths = list(make_photos(number, PHOTOS, home / "judge-persons" / str(number)))
        views = [view for path in paths if (view := _close_up(load_image(path))) is not None]
        trained, others = views[: len(views) // 2], views[len(views) // 2 :]
        crops = [Crop(str(n), perceptual_hash(view), DREAM.embed(view)) for n, view in enumerate(trained)]
        for place, view in enumerate(trained):
            for copy in _changed(view):
                planted += 1
                found = found_copies([copy], [DREAM.embed(copy)], crops)
                missed += [pair.crop for pair in found] != [str(place)]
        for view in others:
            fresh += 1
            wrong += bool(found_copies([view], [DREAM.embed(view)], crops))
    return {
        "what": "the copy detector finds a planted copy and no other picture",
        "must": "all planted, no other",
        "measured": {
            "planted": planted,
            "missed": missed,
            "other_pictures": fresh,
            "taken_for_copies": wrong,
        },
        "reached": not missed and not wrong,
        "note": "Copies encoded again at JPEG quality 70, at half size, mirrored and brightened by a fifth.",
    }


def _close_up(photograph: Image.Image) -> Image.Image | None:
    face = max(detect_faces(photograph), key=lambda each: each.size_px, default=None)
    if face is None:
        return None
    (x, y), reach = face.center, face.size_px
    return photograph.crop((round(x - reach), round(y - reach), round(x + reach), round(y + reach))).resize(
        (192, 192)
    )


def _changed(view: Image.Image) -> Iterator[Image.Image]:
    kept = io.BytesIO()
    view.save(kept, "JPEG", quality=70)
    yield Image.open(kept).convert("RGB")
    yield view.resize((96, 96)).resize((192, 192))
    yield ImageOps.mirror(view)
    yield ImageEnhance.Brightness(view).enhance(1.2)
