from __future__ import annotations

import contextlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, ImageEnhance

from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.faces.identity import SAME_PERSON_DISTANCE, Embedder, Likeness, embed_face
from dreamgui.data.photos.load import load_image
from dreamgui.errors import BadPhoto, Damaged


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
    likeness = Likeness.of([astronaut])
    for image in variants(astronaut):
        distance, score = likeness.distance(image), likeness.score(image)
        assert distance is not None and score is not None
        assert distance < SAME_PERSON_DISTANCE and score == pytest.approx(1 - distance)
    for image in variants(hopper):
        distance, score = likeness.distance(image), likeness.score(image)
        assert distance is not None and score is not None
        assert distance > SAME_PERSON_DISTANCE and 0 <= score < 0.4


def test_references_without_a_face_are_left_out(astronaut: Image.Image, nobody: Image.Image) -> None:
    likeness = Likeness.of([nobody, *variants(astronaut)])
    assert likeness.embeddings.shape == (4, 128)
    score = likeness.score(astronaut)
    assert score is not None and score > 0.6
    assert likeness.score(nobody) is None and likeness.distance(nobody) is None
    with pytest.raises(BadPhoto, match="reference photographs"):
        Likeness.of([nobody])


def test_beside_the_process_the_embedding_is_the_same_to_the_last_bit(astronaut: Image.Image) -> None:
    (face,) = detect_faces(astronaut)
    here = embed_face(astronaut)
    assert here is not None
    with Embedder() as embed, ThreadPoolExecutor(4) as pool:
        there = list(pool.map(lambda _: embed(astronaut, face), range(8)))
        child = embed._child
        assert child is not None and child.poll() is None
    assert all(np.array_equal(here, embedding) for embedding in there)
    assert child.poll() is not None, "the child outlives its block"


def test_a_child_that_was_ended_is_told(astronaut: Image.Image) -> None:
    (face,) = detect_faces(astronaut)
    with Embedder() as embed:
        embed(astronaut, face)
        assert embed._child is not None
        embed._child.kill()
        embed._child.wait()
        with pytest.raises(Damaged, match="gave no answer"):
            embed(astronaut, face)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_the_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal; import numpy as np; from PIL import Image;"
        "from dreamgui.data.faces.detect import Face; from dreamgui.data.faces.identity import Embedder;"
        "embed = Embedder(); face = Face((40, 40, 90, 90), 0.9, ());"
        "embed(Image.new('RGB', (128, 128)), face); print(embed._child.pid, flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(timeout=10)


def test_the_models_are_found_without_importing_their_package(astronaut: Image.Image) -> None:
    code = (
        "import sys; from PIL import Image; import dreamgui.data.faces.identity as identity;"
        "assert 'dlib' not in sys.modules; identity._network();"
        "assert 'face_recognition_models' not in sys.modules and 'pkg_resources' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
