from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image


def packaged(package: str, file: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / file


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """512 x 512, the face at about (177, 70, 275, 175), upper body; comes with scikit-image's wheel."""
    return packaged("skimage", "data/astronaut.png")


@pytest.fixture(scope="session")
def hopper() -> Path:
    """512 x 600, a portrait; comes with Matplotlib's wheel."""
    return packaged("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")


@pytest.fixture(scope="session")
def coffee() -> Path:
    """600 x 400, a cup, nobody."""
    return packaged("skimage", "data/coffee.png")


@pytest.fixture(scope="session")
def standing(astronaut: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1200 x 1600 with a face of about 100 pixels: allows all three framings at 256 pixels."""
    canvas = Image.new("RGB", (1200, 1600), (90, 120, 90))
    canvas.paste(Image.open(astronaut).convert("RGB"), (350, 150))
    path = tmp_path_factory.mktemp("made") / "standing.png"
    canvas.save(path)
    return path
