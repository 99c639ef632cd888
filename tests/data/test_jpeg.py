from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgui.data.crop import take_in
from dreamgui.data.photos.jpeg import without_metadata
from dreamgui.data.photos.load import load_image, load_square, load_view, read_header
from dreamgui.errors import BadPhoto

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def written(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def lying(image: Image.Image, orientation: int) -> bytes:
    """The picture stored so that EXIF's orientation turns it upright, with secrets in its metadata."""
    exif = Image.Exif()
    exif[274], exif[271] = orientation, "SecretMaker"
    exif.get_ifd(0x8825)[1] = "N"
    stored = image.transpose(TURNS[orientation]) if orientation in TURNS else image
    return written(stored, exif=exif, comment=b"SecretComment", quality=95)


@pytest.fixture(scope="module")
def upright(astronaut: Path) -> Image.Image:
    """512 x 400."""
    return load_image(astronaut).crop((0, 0, 512, 400))


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}]
)
def test_the_picture_stays_to_the_last_bit(upright: Image.Image, options: dict[str, object]) -> None:
    for image in (upright, upright.convert("L"), upright.convert("CMYK")):
        data = written(image, comment=b"Secret", **options)
        clean = without_metadata(data, 1)
        assert b"Secret" not in clean and len(clean) < len(data)
        assert Image.open(io.BytesIO(clean)).tobytes() == Image.open(io.BytesIO(data)).tobytes()


def test_a_colour_profile_stays(upright: Image.Image) -> None:
    clean = without_metadata(written(upright, icc_profile=b"profile" * 30_000, exif=b"Exif\0\0Secret"), 1)
    assert Image.open(io.BytesIO(clean)).info["icc_profile"] == b"profile" * 30_000 and b"Secret" not in clean


def test_what_follows_the_picture_goes(upright: Image.Image) -> None:
    data = written(upright)
    assert without_metadata(data + b"a film" + data, 1) == without_metadata(data, 1)


def test_only_the_orientation_is_left(upright: Image.Image, tmp_path: Path) -> None:
    for orientation in range(1, 9):
        data = lying(upright, orientation)
        clean = without_metadata(data, orientation)
        assert b"Secret" not in clean
        assert dict(Image.open(io.BytesIO(clean)).getexif()) == (
            {274: orientation} if orientation > 1 else {}
        )
        (tmp_path / "a.jpg").write_bytes(clean)
        image = load_image(tmp_path / "a.jpg")
        assert not image.info and not dict(image.getexif())
        assert np.abs(np.asarray(image).astype(int) - np.asarray(upright)).mean() < 3


@pytest.mark.parametrize("cut", [0, 3, 30, 200])
def test_strange_segments_are_refused(upright: Image.Image, cut: int) -> None:
    with pytest.raises(ValueError, match=r"segment|no JPEG"):
        without_metadata(written(upright)[:cut] + b"\0\0\0", 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_square_is_the_same_as_out_of_the_whole(
    upright: Image.Image, tmp_path: Path, orientation: int
) -> None:
    (tmp_path / "a.jpg").write_bytes(lying(upright, orientation))
    box = (150, 40, 400, 290)
    whole = load_image(tmp_path / "a.jpg").resize((125, 125), Image.Resampling.LANCZOS, box=box)
    square = load_square(tmp_path / "a.jpg", box, 125)
    assert square.size == (125, 125) and not dict(square.getexif()) and not square.info
    assert np.abs(np.asarray(square).astype(int) - np.asarray(whole)).mean() < 2
    width, height = upright.size
    for wrong in (
        (-1, 0, 99, 100),
        (0, 0, 100, 90),
        (width - 50, 0, width + 50, 100),
        (0, height - 9, 10, height + 1),
    ):
        with pytest.raises(ValueError, match="no square inside"):
            load_square(tmp_path / "a.jpg", wrong, 64)


def test_a_view_knows_the_whole_size(upright: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(lying(upright.resize((1600, 1250)), 6))
    view = load_view(tmp_path / "a.jpg", 400)
    assert view.size == (1600, 1250) and view.image.size == (400, 313) and view.scale == 4
    assert load_view(tmp_path / "a.jpg").image.size == (1600, 1250)
    assert read_header(tmp_path / "a.jpg") == ("JPEG", (1250, 1600), 6)
    upright.save(tmp_path / "a.png")
    assert load_view(tmp_path / "a.png", 100).image.size == (512, 400)


def test_errors_call_a_photograph_by_the_given_name(tmp_path: Path) -> None:
    (tmp_path / "00001").write_bytes(b"\xff\xd8\xff\xe0" + bytes(30))
    for read in (read_header, lambda path, name: load_view(path, None, name)):
        with pytest.raises(BadPhoto, match=r"holiday\.jpg can't be read"):
            read(tmp_path / "00001", "holiday.jpg")


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_photographs_are_read_upright(upright: Image.Image, tmp_path: Path, orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener(thumbnails=False)
    exif = Image.Exif()
    exif[274] = orientation
    stored = upright.transpose(TURNS[orientation]) if orientation in TURNS else upright
    # Given as bytes, the orientation is written as a telephone does it: into the container, too.
    stored.save(tmp_path / "a.heic", exif=exif.tobytes(), quality=90)
    image = load_image(tmp_path / "a.heic")
    assert image.size == upright.size and not image.info and not dict(image.getexif())
    assert np.abs(np.asarray(image).astype(int) - np.asarray(upright)).mean() < 6


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("percent", [30, 50, 70, 95])
def test_a_photograph_that_breaks_off_is_refused_and_leaves_nothing(
    astronaut: Path, tmp_path: Path, percent: int, progressive: bool
) -> None:
    data = written(load_image(astronaut), quality=90, progressive=progressive)
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) * percent // 100])
    with pytest.raises(BadPhoto, match=r"cut\.jpg can't be read.*truncated"):
        take_in(tmp_path / "cut.jpg", tmp_path / "uploads", 1, 0.5)
    assert not list((tmp_path / "uploads").iterdir())
