from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from dreamgui.data.photos import found as found_module
from dreamgui.data.photos import load as photos
from dreamgui.data.photos.found import expand
from dreamgui.data.photos.load import load_image, photo_bytes
from dreamgui.errors import BadPhoto, OutOfRange

RED, BLUE = (200, 30, 30), (30, 30, 200)


def picture(width: int = 60, height: int = 40) -> Image.Image:
    """Red on the left, blue on the right, a green corner at the top left."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    image.paste((30, 200, 30), (0, 0, width // 6, height // 6))
    return image


def near(pixel: object, wanted: tuple[int, int, int], by: int = 12) -> bool:
    return bool(np.abs(np.array(pixel, int) - np.array(wanted)).max() <= by)


def header_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def refusal(path: Path) -> str:
    with pytest.raises(BadPhoto) as caught:
        load_image(path)
    assert path.name in caught.value.what
    assert caught.value.next_step
    return caught.value.what


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_reads_what_it_promises(tmp_path: Path, suffix: str) -> None:
    picture().save(tmp_path / f"a.{suffix}", quality=95)
    image = load_image(tmp_path / f"a.{suffix}")
    assert (image.mode, image.size) == ("RGB", (60, 40))
    assert near(image.getpixel((20, 20)), RED) and near(image.getpixel((50, 20)), BLUE)


def test_format_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    picture().save(tmp_path / "really.png", "JPEG")
    assert load_image(tmp_path / "really.png").size == (60, 40)


@pytest.mark.parametrize(
    ("kind", "count", "stored", "turned"),
    [(3, 1, b"\6\0", True), (4, 1, b"\6\0\0\0", True), (1, 1, b"\6", True), (2, 2, b"6\0", True), (2, 2, b"x\0", False)],
)  # fmt: skip
def test_an_orientation_of_any_type_is_read(
    tmp_path: Path, kind: int, count: int, stored: bytes, turned: bool
) -> None:
    entry = struct.pack("<HHI", 274, kind, count) + stored.ljust(4, b"\0")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").size == ((20, 40) if turned else (40, 20))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = picture()
    if orientation in undo:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright = load_image(tmp_path / "a.jpg")
    assert upright.size == (60, 40)
    assert near(upright.getpixel((2, 2)), (30, 200, 30), 30) and near(upright.getpixel((50, 30)), BLUE)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_no_reason_to_refuse(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffrubbish")
    assert load_image(tmp_path / "a.jpg").size == (60, 40)


def test_other_colours_become_rgb(tmp_path: Path) -> None:
    picture().convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    picture().quantize(8).save(tmp_path / "palette.png")
    picture().convert("L").save(tmp_path / "grey.png")
    for name, wanted in (("cmyk.jpg", RED), ("palette.png", RED), ("grey.png", (81, 81, 81))):
        image = load_image(tmp_path / name)
        assert image.mode == "RGB"
        assert near(image.getpixel((20, 20)), wanted, 25), name


def test_16_bit_grey_keeps_its_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 128 * 256, np.uint16)).save(tmp_path / "a.png")
    assert near(load_image(tmp_path / "a.png").getpixel((4, 4)), (128, 128, 128), 1)


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    image = picture().convert("RGBA")
    image.paste((0, 0, 0, 0), (30, 0, 60, 40))
    image.save(tmp_path / "a.png")
    clear_index = picture().quantize(8)
    clear_index.save(tmp_path / "b.png", transparency=clear_index.getpixel((50, 20)))
    for name in ("a.png", "b.png"):
        upright = load_image(tmp_path / name)
        assert near(upright.getpixel((50, 20)), (255, 255, 255)) and near(upright.getpixel((20, 20)), RED), (
            name
        )


def test_a_wide_colour_profile_is_converted(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # A profile that swaps nothing but claims another name is still converted; sRGB to sRGB changes nothing.
    renamed = lab.replace("sRGB built-in".encode("utf-16-be"), "P3pp built-in".encode("utf-16-be"))
    picture().save(tmp_path / "a.png", icc_profile=renamed)
    picture().save(tmp_path / "broken.png", icc_profile=b"no profile at all")
    for name in ("a.png", "broken.png"):
        assert near(load_image(tmp_path / name).getpixel((20, 20)), RED, 2)


def test_no_metadata_leaves(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "SecretMaker"
    exif.get_ifd(0x8825)[1] = "N"
    picture().save(tmp_path / "a.jpg", exif=exif, comment=b"SecretComment", dpi=(300, 300))
    image = load_image(tmp_path / "a.jpg")
    assert not image.info and not dict(image.getexif())
    for data in (photo_bytes(image, lossless=True), photo_bytes(image, lossless=False)):
        again = Image.open(io.BytesIO(data))
        assert b"Secret" not in data and not dict(again.getexif()) and "comment" not in again.info


@pytest.mark.parametrize("size", [(40_000, 40_000), (13_300, 13_300), (25_000, 100)])
def test_too_large_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("pixels were decoded"))
    (tmp_path / "bomb.png").write_bytes(header_png(*size))
    reason = refusal(tmp_path / "bomb.png")
    assert f"{size[0]} x {size[1]}" in reason and "limit" in reason


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_FILE_BYTES", 500)
    picture().save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes() + bytes(500))
    assert "limit" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        ("Grüße, this is a letter.\n".encode(), "plain text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "plain text"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC"),
        (b"\0\0\0\x18ftypmp42" + bytes(100), "video"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        (bytes(range(256)), "no picture format"),
        (b"\xff\xd8\xff\xe0" + bytes(30), "can't be read"),
    ],
)
def test_other_files_are_refused_as_what_they_are(tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(content)
    if word == "HEIC" and "HEIF" in photos._readable():
        word = "can't be read"
    assert word in refusal(tmp_path / "photo.jpg")


def test_heic_without_its_library_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "_readable", lambda: frozenset({"JPEG", "PNG", "WEBP"}))
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(BadPhoto, match="pillow-heif isn't installed") as caught:
        load_image(tmp_path / "IMG_1.HEIC")
    assert "pip install pillow-heif" in caught.value.next_step


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP"])
def test_renamed_pictures_are_refused_as_what_they_are(tmp_path: Path, kind: str) -> None:
    picture().save(tmp_path / "photo.jpg", kind)
    assert kind in refusal(tmp_path / "photo.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, astronaut: Path) -> None:
    Image.open(astronaut).convert("RGB").save(tmp_path / f"whole.{suffix}")
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    for share in (0.01, 0.3, 0.9):
        path = tmp_path / f"half.{suffix}"
        path.write_bytes(data[: int(len(data) * share)])
        assert "can't be read" in refusal(path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Image appears to be a malformed MPO")
def test_flipped_bytes_are_read_or_refused_but_never_crash(tmp_path: Path) -> None:
    dice = random.Random(0)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    for suffix in ("jpg", "png", "webp"):
        noise.save(tmp_path / f"a.{suffix}", exif=Image.Exif())
        data = (tmp_path / f"a.{suffix}").read_bytes()
        for _ in range(120):
            broken = bytearray(data)
            for _ in range(dice.randint(1, 8)):
                broken[dice.randrange(min(len(broken), dice.choice((60, 600, 60_000))))] = dice.randrange(256)
            path = tmp_path / "b.jpg"
            path.write_bytes(broken)
            try:
                assert load_image(path).mode == "RGB"
            except BadPhoto as error:
                assert "b.jpg" in error.what


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert "isn't there" in refusal(tmp_path / "gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert "no file" in refusal(tmp_path / "folder.jpg")


def test_expand_takes_files_as_they_are_and_pictures_from_folders(tmp_path: Path) -> None:
    inner = tmp_path / "trip" / "day 2"
    inner.mkdir(parents=True)
    (tmp_path / "trip" / ".thumbnails").mkdir()
    for name in ("trip/b.JPG", "trip/a.png", "trip/notes.txt", "trip/day 2/c.gif", "trip/.thumbnails/t.jpg"):
        (tmp_path / name).touch()
    letter = tmp_path / "letter.txt"
    found = expand([letter, tmp_path / "trip", tmp_path / "trip" / "a.png"])
    assert [path.name for path in found] == ["letter.txt", "a.png", "b.JPG", "c.gif"]


def test_expand_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_module, "MAX_PHOTOS", 2)
    with pytest.raises(OutOfRange, match="more than 2"):
        expand(Path(f"{number}.jpg") for number in range(3))


def test_strange_names_can_be_shown() -> None:
    assert photos.shown_name(Path("a\udcff\nb.jpg")) == "a??b.jpg"
    assert len(photos.shown_name(Path("x" * 300))) == 120
