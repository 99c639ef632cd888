from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from dreamgui.data.photos import load_image
from dreamgui.errors import BadPhoto
from dreamgui.evaluate.identity import SAME_PERSON_DISTANCE, Likeness, embed_face


def packaged(package: str, file: str) -> Image.Image:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return load_image(Path(spec.origin).parent / file)


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return packaged("skimage", "data/astronaut.png")


@pytest.fixture(scope="module")
def hopper() -> Image.Image:
    return packaged("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")


@pytest.fixture(scope="module")
def nobody() -> Image.Image:
    return packaged("skimage", "data/coffee.png")


def variants(image: Image.Image) -> list[Image.Image]:
    """The same person as another photograph might show her: mirrored, smaller, darker, a bit turned."""
    return [
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        image.resize((256, round(256 * image.height / image.width))),
        ImageEnhance.Brightness(image).enhance(0.6),
        image.rotate(8, Image.Resampling.BICUBIC),
    ]


def test_an_embedding_has_128_numbers(astronaut: Image.Image, nobody: Image.Image) -> None:
    embedding = embed_face(astronaut)
    assert embedding is not None and embedding.shape == (128,) and embedding.dtype == np.float32
    again = embed_face(astronaut)
    assert again is not None and np.array_equal(embedding, again)
    assert embed_face(nobody) is None


def test_the_same_person_is_nearer_than_another(astronaut: Image.Image, hopper: Image.Image) -> None:
    likeness = Likeness([astronaut])
    for image in variants(astronaut):
        distance, score = likeness.distance(image), likeness.score(image)
        assert distance is not None and score is not None
        assert distance < SAME_PERSON_DISTANCE and score == pytest.approx(1 - distance)
    for image in variants(hopper):
        distance, score = likeness.distance(image), likeness.score(image)
        assert distance is not None and score is not None
        assert distance > SAME_PERSON_DISTANCE and 0 <= score < 0.4


def test_references_without_a_face_are_left_out(astronaut: Image.Image, nobody: Image.Image) -> None:
    likeness = Likeness([nobody, *variants(astronaut)])
    assert likeness.embeddings.shape == (4, 128)
    score = likeness.score(astronaut)
    assert score is not None and score > 0.6
    assert likeness.score(nobody) is None and likeness.distance(nobody) is None
    with pytest.raises(BadPhoto, match="reference photographs"):
        Likeness([nobody])


def test_the_models_are_found_without_importing_their_package(astronaut: Image.Image) -> None:
    code = (
        "import sys; from PIL import Image; import dreamgui.evaluate.identity as identity;"
        "assert 'dlib' not in sys.modules; identity._dlib_models();"
        "assert 'face_recognition_models' not in sys.modules and 'pkg_resources' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
