"""27: small files that ask for a lot of time or memory are refused by their header; a crop is stopped at its next step."""

from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dreamgui.data import crop as crop_module
from dreamgui.data.dataset import crop_plan
from dreamgui.data.dataset.crop_plan import in_order
from dreamgui.data.photos import cost
from dreamgui.data.photos.cost import MAX_DECODED_BYTES, decoded_bytes
from dreamgui.data.photos.leaving import go_on
from dreamgui.data.photos.load import load_image, load_view
from dreamgui.errors import BadPhoto, StopRequested


def png(path: Path, side: int, depth: int, colour_type: int, channels: int, rows_kept: float = 1.0) -> Path:
    """A PNG of one colour, a few hundred times smaller than its pixels; it may break off, where it is never decoded."""
    rows = zlib.compressobj(9)
    row = b"\0" + bytes(side * channels * depth // 8)
    packed = b"".join([*(rows.compress(row) for _ in range(round(side * rows_kept))), rows.flush()])

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, depth, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    return path


def many_scans(path: Path, side: int, scans: int) -> Path:
    """A progressive JPEG whose last scan comes again and again."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (120, 90, 60)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()[:-2]
    last = data[data.rfind(b"\xff\xda") :]
    path.write_bytes(data + last * (scans - data.count(b"\xff\xda")) + b"\xff\xd9")
    return path


@pytest.fixture
def nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    yield


@pytest.mark.usefixtures("nothing_is_decoded")
def test_heavy_photographs_are_refused_by_their_header(tmp_path: Path) -> None:
    heavy = {
        "400 scans": many_scans(tmp_path / "scans.jpg", 64, 400),
        "100 megapixels": png(tmp_path / "large.png", 10_000, 8, 2, 3, 0.01),
        "16 bits": png(tmp_path / "deep.png", 7_000, 16, 6, 4, 0.01),
    }
    for path in heavy.values():
        assert path.stat().st_size < 1_000_000
        for read in (load_image, load_view):
            with pytest.raises(BadPhoto, match=path.name) as caught:
                read(path)
            assert "too long" in caught.value.what or "of memory" in caught.value.what


def test_many_scans_of_a_large_picture_are_refused_and_a_usual_progressive_one_is_read(
    tmp_path: Path,
) -> None:
    assert load_image(many_scans(tmp_path / "usual.jpg", 64, 10)).size == (64, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "MAX_SCANNED_PIXELS", 64 * 64 * 9)
        with pytest.raises(BadPhoto, match="10 scans"):
            load_image(tmp_path / "usual.jpg")
        Image.new("RGB", (640, 64)).save(tmp_path / "plain.jpg")
        assert load_image(tmp_path / "plain.jpg").size == (640, 64)


@pytest.mark.parametrize(
    ("kind", "mode", "megapixels"),
    [("PNG", "RGB", 29), ("PNG", "RGBA", 29), ("WEBP", "RGB", 18), ("HEIF", "RGB", 24), ("JPEG", "RGB", 74)],
)
def test_what_telephones_and_cameras_make_is_read(kind: str, mode: str, megapixels: int) -> None:
    class Header:
        def __init__(self, pixels: int) -> None:
            self.width, self.height, self.mode = pixels, 1, mode

    assert decoded_bytes(Header(megapixels * 1_000_000), kind) <= MAX_DECODED_BYTES
    assert decoded_bytes(Header(100_000_000), kind) > MAX_DECODED_BYTES


def test_a_jpeg_that_would_take_too_much_is_looked_at_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (1600, 800)).save(tmp_path / "large.jpg", exif=exif)
    monkeypatch.setattr(cost, "MAX_DECODED_BYTES", 1600 * 800 * 4)
    view = load_view(tmp_path / "large.jpg")
    assert (view.image.size, view.size, view.scale) == ((400, 800), (800, 1600), 2)


def test_a_picture_is_converted_in_bands(tmp_path: Path) -> None:
    """numpy's part of a conversion is as small as a band; it was five times the picture."""
    path = png(tmp_path / "grey.png", 3_000, 16, 0, 1)
    tracemalloc.start()
    assert load_image(path).size == (3_000, 3_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000 * 512 * 12


def test_tiles_for_tiny_faces_are_bounded_by_the_photograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(crop_module, "detect_faces", lambda image, sure, least: asked.append(least) or [])
    monkeypatch.setattr(crop_module, "turn_upright", lambda *_: None)
    Image.new("RGB", (4000, 100)).save(tmp_path / "wide.png")
    with pytest.raises(BadPhoto, match="No face"):
        crop_module.take_in(tmp_path / "wide.png", tmp_path / "kept", 1, 0.5, 24)
    assert asked[-1] == 50


def test_who_waits_for_a_slow_photograph_can_stop_and_the_thread_ends_at_its_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crop_plan, "BEAT_SECONDS", 0.001)
    begun, ended = threading.Event(), threading.Event()

    def endless(_: int) -> int:
        begun.set()
        try:
            while True:
                go_on()
        except StopRequested:
            ended.set()
            raise

    results = in_order(endless, [1])
    assert next(results) is None and next(results) is None
    assert begun.wait(60)
    results.close()
    assert ended.is_set()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes among files")
def test_a_pipe_among_photographs_is_named_and_nobody_waits_for_it(tmp_path: Path) -> None:
    from dreamgui.data.exchange.exchange import is_export
    from dreamgui.data.exchange.incoming import gather

    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "pipe.png")
    os.mkfifo(tmp_path / "folder" / "dataset.json")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    (tmp_path / "folder" / "link.png").symlink_to("/dev/zero")
    answers: list[object] = []

    def look() -> None:
        for path in (tmp_path / "pipe.jpg", tmp_path / "link.jpg", Path("/dev/zero")):
            answers.append(is_export(path))
            (member,) = gather([path], tmp_path / "zips")
            with pytest.raises(BadPhoto, match="is no file"):
                load_image(member.path or path)
        answers.append(is_export(tmp_path / "folder"))
        answers.append([member.path for member in gather([tmp_path / "folder"], tmp_path / "zips")])

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(60)
    assert not looking.is_alive() and answers == [False, False, False, False, [None]]
