"""Texts in files: what is written, in which chunk, and files that are damaged, hostile or of other programs."""

from __future__ import annotations

import json
import struct
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dreamgui.errors import BadPhoto
from dreamgui.pictures.store import read_picture
from dreamgui.pictures.texts import MOST_CHARACTERS, png_bytes, texts_of

TEXT = "a castle\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 8x8"
SQUARE = Image.new("RGB", (8, 8), "red")


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of a PNG's chunks, read by the standard (https://www.w3.org/TR/png-3/#5Chunk-layout)."""
    found, place = [], 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(
            kind + content
        )
        found.append((kind, content))
        place += 12 + length
    return found


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_comment(path: Path, comment: bytes) -> Path:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    SQUARE.save(path, exif=exif)
    return path


def test_latin_1_is_text_and_all_else_is_utf_8() -> None:
    latin = chunks(png_bytes(SQUARE, "caf\u00e9", {"job": {"prompt": "\u4e00"}}))
    assert (b"tEXt", b"parameters\0caf\xe9") in latin
    assert (b"tEXt", b'dreamgui\0{"job": {"prompt": "\\u4e00"}}') in latin
    other = chunks(png_bytes(SQUARE, "cat \U0001f431", {}))
    assert (b"iTXt", b"parameters\0\0\0\0\0" + "cat \U0001f431".encode()) in other


def test_nothing_else_is_written() -> None:
    """A profile, EXIF and texts of a start image don't follow the picture."""
    image = SQUARE.copy()
    image.info = {"icc_profile": b"profile", "exif": b"Exif\0\0II", "comment": "/home/anna", "dpi": (72, 72)}
    kinds = [kind for kind, _ in chunks(png_bytes(image, TEXT, {}))]
    assert kinds == [b"IHDR", b"tEXt", b"tEXt", b"IDAT", b"IEND"]
    assert image.info["icc_profile"] == b"profile"


@pytest.mark.parametrize("prompt", ["half \ud83d a pair", "a\0b"])
def test_a_picture_is_kept_whatever_its_prompt(tmp_path: Path, prompt: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(SQUARE, prompt, {"job": {"prompt": prompt}}))
    assert texts_of(path)[0] == prompt.replace("\ud83d", "?").replace("\0", "?")
    assert json.loads(texts_of(path)[1])["job"]["prompt"] == prompt


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + TEXT.encode("utf-16-be"), b"UNICODE\0" + TEXT.encode("utf-16-le"),
        b"UNICODE\0\xfe\xff" + TEXT.encode("utf-16-be"), b"UNICODE\0\xff\xfe" + TEXT.encode("utf-16-le"),
        b"ASCII\0\0\0" + TEXT.encode(), bytes(8) + TEXT.encode(),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_comments_of_all_byte_orders(tmp_path: Path, name: str, comment: bytes) -> None:
    assert read_picture(with_comment(tmp_path / name, comment)).made.seed == 5


def test_a_comment_of_another_alphabet_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadPhoto, match="doesn't say how it was made"):
        read_picture(with_comment(tmp_path / "a.jpg", b"JIS\0\0\0\0\0" + TEXT.encode()))


def test_texts_behind_the_pixels_are_found(tmp_path: Path) -> None:
    buffer = BytesIO()
    SQUARE.save(buffer, "PNG")
    plain = buffer.getvalue()
    end = plain[-12:]
    for text in (chunk(b"tEXt", b"parameters\0" + TEXT.encode()),
                 chunk(b"zTXt", b"parameters\0\0" + zlib.compress(TEXT.encode()))):  # fmt: skip
        (tmp_path / "a.png").write_bytes(plain[:-12] + text + end)
        assert read_picture(tmp_path / "a.png").made.seed == 5


def test_settings_of_a_picture_that_was_cut_off_are_read(tmp_path: Path) -> None:
    whole = png_bytes(Image.effect_noise((64, 64), 90), TEXT, {})
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    assert read_picture(tmp_path / "a.png").made.seed == 5


def test_a_text_above_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    path.write_bytes(png_bytes(SQUARE, "x" * (MOST_CHARACTERS + 1), {}))
    with pytest.raises(BadPhoto, match=r"long\.png can't .* more than 1,000,000 characters\. Choose"):
        read_picture(path)
    path.write_bytes(png_bytes(SQUARE, TEXT, {"job": {"prompt": "x" * MOST_CHARACTERS}}))
    with pytest.raises(BadPhoto, match="more than 1,000,000 characters"):
        read_picture(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 12_000, 9_000, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(BadPhoto, match=r"large\.png can't be read .* more than 100 megapixels"):
        read_picture(tmp_path / "large.png")


def test_only_three_formats_are_opened(tmp_path: Path) -> None:
    """PostScript would start Ghostscript on another's program."""
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    (tmp_path / "b.png").write_bytes(b"")
    for name in ("a.png", "b.png"):
        with pytest.raises(BadPhoto, match="it is no PNG, JPEG or WebP"):
            read_picture(tmp_path / name)


def test_a_message_tells_no_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    for name in ("missing.png", "folder.png", "text.png"):
        with pytest.raises(BadPhoto) as told:
            read_picture(tmp_path / name)
        assert name in str(told.value) and str(tmp_path) not in str(told.value)


def test_own_text_that_is_damaged_or_of_a_later_version_is_told(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("parameters", TEXT)
    info.add_text("dreamgui", '{"job": [')
    SQUARE.save(tmp_path / "damaged.png", pnginfo=info)
    found = read_picture(tmp_path / "damaged.png")
    assert (found.made.seed, found.job) == (5, {}) and "is damaged" in " ".join(found.remarks)
    (tmp_path / "later.png").write_bytes(png_bytes(SQUARE, TEXT, {"job": {"seed": 6}, "soul": {}}))
    found = read_picture(tmp_path / "later.png")
    assert found.job == {"seed": 6} and "soul" in " ".join(found.remarks)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["a.png", "a.jpg", "a.webp"]), st.data())
def test_damaged_files_end_in_one_error(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """Any byte may be another one: the file is read or refused by name."""
    path = with_comment(tmp_path / name, b"UNICODE\0" + TEXT.encode("utf-16-be"))
    if name == "a.png":
        path.write_bytes(png_bytes(SQUARE, TEXT, {"job": {}}))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    with suppress(BadPhoto):
        read_picture(path)
