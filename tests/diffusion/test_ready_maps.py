"""Ready control maps are recognised, and photographs and drawings aren't taken for any."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dreamgui.diffusion.control.control_maps import canny_map, skeletons
from dreamgui.diffusion.control.ready_maps import is_edge_map, is_skeleton, ready_map
from tests.data.conftest import packaged
from tests.diffusion.test_control_maps import standing


def astronaut() -> Image.Image:
    return Image.open(packaged("skimage", "data/astronaut.png")).convert("RGB")


def skeleton(size_px: int = 512) -> Image.Image:
    return skeletons([standing() * [size_px / 128, size_px / 128, 1]], (size_px, size_px))


def as_jpeg(image: Image.Image) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=90)
    return Image.open(file).convert("RGB")


def test_edges_are_recognised_and_come_out_as_they_are() -> None:
    edges = canny_map(astronaut())
    found = ready_map(edges, "canny")
    assert found is not None and np.array_equal(np.asarray(found), np.asarray(edges))
    assert is_edge_map(edges.resize((1024, 1024), Image.Resampling.NEAREST))
    assert not is_skeleton(edges) and ready_map(edges, "pose") is None


def test_skeletons_are_recognised_as_png_and_jpeg() -> None:
    for image in (skeleton(), skeleton(1024), as_jpeg(skeleton())):
        assert is_skeleton(image) and not is_edge_map(image)


@pytest.mark.parametrize(
    "file", ["astronaut.png", "coffee.png", "camera.png", "text.png", "page.png", "moon.png"]
)
def test_photographs_are_no_maps(file: str) -> None:
    image = Image.open(packaged("skimage", f"data/{file}")).convert("RGB")
    assert not is_edge_map(image) and not is_skeleton(image)


def test_drawings_are_no_maps() -> None:
    shapes = Image.new("RGB", (256, 256))
    ImageDraw.Draw(shapes).ellipse((60, 60, 190, 190), fill="white")
    assert not is_edge_map(shapes)
    ImageDraw.Draw(shapes).ellipse((60, 60, 190, 190), fill="red")
    assert not is_skeleton(shapes) and not is_edge_map(Image.new("RGB", (64, 64)))
