"""Nothing that people hand in is passed over in silence, and no two photographs are told by one name."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from dreamgui.data.exchange.incoming import gather
from dreamgui.data.photos.found import look_through
from dreamgui.data.photos.load import load_image
from dreamgui.data.photos.unpack import unpack
from dreamgui.errors import BadPhoto

RAW = b"II*\0" + bytes(300)


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def packed(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def names(paths: list[Path], tmp_path: Path) -> list[str]:
    return [member.name if member.path else member.reason for member in gather(paths, tmp_path / "waiting")]


def test_zips_in_a_folder_are_read(tmp_path: Path) -> None:
    home = folder(tmp_path / "takeout", {"own.jpg": picture()})
    packed(home / "one.zip", {"a.jpg": picture()})
    packed(home / "more" / "two.ZIP", {"b.jpg": picture()})
    assert sorted(names([home], tmp_path)) == ["a.jpg", "b.jpg", "own.jpg"]


def test_pictures_are_told_by_content_where_the_ending_is_another(tmp_path: Path) -> None:
    files = dict.fromkeys(["IMG_1", "photo.jpg_large", "a.jpg.download", "b.pjpeg"], picture())
    assert names([folder(tmp_path / "in", files)], tmp_path) == sorted(files)
    assert [member.name for member in unpack(packed(tmp_path / "p.zip", files), tmp_path / "out")] == list(
        files
    )


def test_what_is_passed_over_is_counted_by_kind(tmp_path: Path) -> None:
    real = folder(tmp_path / "real", {"r.jpg": picture()})
    home = folder(
        tmp_path / "in",
        {
            "ok.jpg": picture(),
            "ok.txt": b"a caption",
            "a.NEF": RAW,
            "b.dng": RAW,
            "film.mov": b"\0\0\0\x14ftypqt  ",
            "old.rar": b"Rar!\x1a\7\1\0",
            ".DS_Store": bytes(9),
            "letter.docx": b"PK\3\4" + bytes(30),
        },
    )
    (home / "album").symlink_to(real, target_is_directory=True)
    (home / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (home / "loop").symlink_to(home, target_is_directory=True)
    found = look_through([home])
    assert [file.name for file in found.files] == ["ok.jpg"]
    assert found.passed_over == {
        "raw file": 2,
        "film": 1,
        "rar archive": 1,
        "linked folder": 2,
        "broken link": 1,
        "other file": 1,
    }
    (ok, counted) = names([home], tmp_path)
    assert ok == "ok.jpg" and "2 raw files" in counted and "Pack a zip" in counted


def test_a_folder_of_nothing_usable_says_of_what(tmp_path: Path) -> None:
    home = folder(tmp_path / "in", {f"{number}.cr2": RAW for number in range(12)})
    assert names([home], tmp_path) == ["passed over: 12 raw files."]


def test_a_zip_says_what_it_passes_over(tmp_path: Path) -> None:
    inner = packed(tmp_path / "inner.zip", {"a.jpg": picture()}).read_bytes()
    path = packed(tmp_path / "p.zip", {"inner.zip": inner, "c.jpg": picture(), "d.arw": RAW, "r.txt": b"x"})
    taken, counted = names([path], tmp_path)
    assert taken == "c.jpg" and "p.zip: passed over: 1 zip, 1 raw file" in counted and "unpack" in counted


def test_another_archive_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    for name, head in (
        ("a.rar", b"Rar!\x1a\7\1\0"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c"),
        ("a.tgz", b"\x1f\x8b\\8"),
    ):
        (tmp_path / name).write_bytes(head + bytes(50))
    for name in ("a.tar", "a.rar", "a.7z", "a.tgz"):
        with pytest.raises(BadPhoto, match="pack a zip"):
            load_image(tmp_path / name)


def test_photographs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    home = folder(tmp_path / "in", {f"day{day}/IMG_1.jpg": picture() for day in range(3)})
    packed(home / "p.zip", {"x/IMG_1.jpg": picture(), "y/x/IMG_1.jpg": picture(), "b.jpg": picture()})
    shown = names([home], tmp_path)
    assert shown == [
        "day0/IMG_1.jpg", "day1/IMG_1.jpg", "day2/IMG_1.jpg", "x/IMG_1.jpg", "x/IMG_1.jpg (2)", "b.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "wanted"),
    [
        ("cp866", "Снимок один.jpg"),
        ("gbk", "安娜在海边.jpg"),
        ("utf-8", "Ünal на море.jpg"),
        ("cp437", "Müller äöü.jpg"),
        ("cp437", "plain.jpg"),
    ],
)
def test_names_of_zips_without_the_flag_for_utf8(tmp_path: Path, encoding: str, wanted: str) -> None:
    raw = wanted.encode(encoding)
    path = packed(tmp_path / "p.zip", {"x" * len(raw): picture()})
    path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
    assert names([path], tmp_path) == [wanted]
