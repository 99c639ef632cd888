"""PRES and DIV of the DreamBooth paper, and damage: what training did to the class and to pictures without the token.

Ruiz et al. 2023, https://arxiv.org/abs/2208.12242, section 4.3. The paper's embedders are DINO (PRES) and LPIPS (DIV).
Neither is here, so each number names the embedder that it was taken with and isn't comparable with the paper's tables.
The face version of both is :mod:`dreamgui.evaluate.drift`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from PIL import Image

from dreamgui.evaluate.measures.recogniser import Recogniser, unit

Vectors = Sequence[np.ndarray | None]
_THUMB_PX = 32


class Thumbnail:
    """An embedder without a network: the cosine of two pictures is the correlation of their 32 x 32 thumbnails."""

    name = "thumbnail correlation (32 x 32 RGB)"
    source = "Pearson's correlation of the pixels"

    def embed(self, image: Image.Image) -> np.ndarray | None:
        """Return a unit vector [3072] float32, or None for a picture of one single colour.

        Args:
            image: RGB, of any size.
        """
        size = (_THUMB_PX, _THUMB_PX)
        small = image.convert("RGB").resize(size, Image.Resampling.BOX)
        pixels = np.asarray(small, np.float64).reshape(-1)
        centred = pixels - pixels.mean()
        return unit(centred) if np.linalg.norm(centred) > 1e-6 else None


@dataclass(frozen=True)
class Damage:
    """Distance of pictures without the token from the base's of the same prompts and seeds.

    Attributes:
        pixels: root mean square difference of sRGB values, 0 (the same) to 1.
        embedding: mean of 1 - cosine, 0 to 2; None where no pair can be embedded.
        embedder: its name.
        pairs: number of pairs of pictures.
    """

    pixels: float
    embedding: float | None
    embedder: str
    pairs: int


def pres(class_pictures: Vectors, person: Vectors) -> float | None:
    """Return PRES: the mean cosine over all pairs of a picture of the class and a photograph of the person.

    Lower is better: high says that the class became the person. -1 to 1; None where no pair is known.

    Args:
        class_pictures: unit vectors [n] of pictures from the class prompt, without the token.
        person: unit vectors of photographs, by the same embedder.
    """
    ours, theirs = _known(class_pictures), _known(person)
    return float((np.stack(ours) @ np.stack(theirs).T).mean()) if ours and theirs else None


def div(pictures_by_prompt: Iterable[Vectors]) -> float | None:
    """Return DIV: the mean of 1 - cosine over pairs of pictures of one prompt with different seeds.

    Higher is better: low says that the model repeats one picture. 0 to 2; each prompt counts alike; None where no
    prompt has two known pictures.

    Args:
        pictures_by_prompt: unit vectors of each prompt's pictures.
    """
    means = []
    for pictures in pictures_by_prompt:
        distances = [1 - float(one @ other) for one, other in combinations(_known(pictures), 2)]
        means += [float(np.mean(distances))] if distances else []
    return float(np.mean(means)) if means else None


def damage(
    pictures: Sequence[Image.Image], base: Sequence[Image.Image], embedder: Recogniser | Thumbnail
) -> Damage | None:
    """Return the distance of a model's pictures from the base's, or None without a picture. Lower is better.

    Args:
        pictures: of prompts without the person's token, RGB.
        base: the base's of the same prompts, seeds and sizes, in the same order.
        embedder: gives the second distance.
    """
    if not pictures:
        return None
    pairs = list(zip(pictures, base, strict=True))
    pixels = float(np.mean([_pixel_distance(one, other) for one, other in pairs]))
    vectors = [(embedder.embed(one), embedder.embed(other)) for one, other in pairs]
    distances = [1 - float(a @ b) for a, b in vectors if a is not None and b is not None]
    return Damage(pixels, float(np.mean(distances)) if distances else None, embedder.name, len(pairs))


def _pixel_distance(one: Image.Image, other: Image.Image) -> float:
    first, second = (np.asarray(image.convert("RGB"), np.float64) / 255 for image in (one, other))
    return float(np.sqrt(((first - second) ** 2).mean()))


def _known(vectors: Vectors) -> list[np.ndarray]:
    return [vector for vector in vectors if vector is not None]
