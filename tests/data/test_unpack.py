from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from dreamgui.data.exchange import incoming as incoming_module
from dreamgui.data.exchange.incoming import gather, incoming
from dreamgui.data.photos import unpack as unpack_module
from dreamgui.data.photos.unpack import Member, open_zip, unpack
from dreamgui.errors import BadPhoto, OutOfRange


def picture_bytes(kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, kind)
    return buffer.getvalue()


def packed(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def unpacked(path: Path, folder: Path) -> list[Member]:
    return list(unpack(path, folder))


def test_pictures_come_out_under_generated_names(tmp_path: Path) -> None:
    names = ["a.jpg", "trip/b.JPG", "../../x.jpg", "/etc/y.jpg", "C:\\z.jpg", "trip/a.jpg", "CON.jpg"]
    ignored = ["notes.txt", "__MACOSX/._a.jpg", ".hidden/c.jpg", "trip/", "Thumbs.db"]
    path = packed(tmp_path / "p.zip", dict.fromkeys([*names, *ignored], picture_bytes()))
    members = unpacked(path, tmp_path / "out" / "in")
    assert [member.name for member in members] == [
        "a.jpg", "b.JPG", "x.jpg", "y.jpg", "z.jpg", "a.jpg", "CON.jpg",
    ]  # fmt: skip
    files = {file for file in tmp_path.rglob("*") if file.is_file()} - {path}
    assert files == {member.path for member in members}
    assert sorted(file.name for file in files) == [f"{number:05d}" for number in range(1, 8)]
    assert all(file.read_bytes() == picture_bytes() for file in files)


def test_a_bomb_is_stopped_while_it_streams(tmp_path: Path) -> None:
    zeros = zipfile.ZipInfo("bomb.jpg")
    zeros.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("good.jpg", picture_bytes())
        with archive.open(zeros, "w", force_zip64=True) as member:
            for _ in range(300):
                member.write(bytes(1 << 20))
        archive.writestr("after.jpg", picture_bytes())
    assert (tmp_path / "p.zip").stat().st_size < 400_000
    good, bomb, rest = unpacked(tmp_path / "p.zip", tmp_path / "out")
    assert good.path and not bomb.path and "bomb.jpg unpacks to more than 6" in bomb.reason
    assert rest.name == "p.zip" and "far more than photographs" in rest.reason
    assert sum(file.stat().st_size for file in (tmp_path / "out").iterdir()) < 2000


def test_a_directory_that_lies_about_sizes_doesnt_help(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", {"bomb.jpg": bytes(100 << 20)})
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 1000)
    path.write_bytes(data)
    (member, *_) = unpacked(path, tmp_path / "out")
    assert member.path is None and member.reason
    assert not list((tmp_path / "out").iterdir())


def test_a_hundred_thousand_entries_are_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("a.jpg", b"x")
    data = (tmp_path / "p.zip").read_bytes()
    directory = data[data.rfind(b"PK\x01\x02") : data.rfind(b"PK\x05\x06")]
    begin = data.rfind(b"PK\x01\x02")
    end = struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, 100_000 % 65536, 100_000 % 65536, 100_000 * len(directory), begin, 0
    )
    (tmp_path / "p.zip").write_bytes(data[:begin] + directory * 100_000 + end)
    with pytest.raises(BadPhoto, match="the limit is 10,000"):
        open_zip(tmp_path / "p.zip")


def test_encrypted_links_and_odd_packing_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("packed.jpg", picture_bytes(), zipfile.ZIP_LZMA)
        archive.writestr("secret.jpg", picture_bytes())
        archive.writestr("good.jpg", picture_bytes())
    data = bytearray((tmp_path / "p.zip").read_bytes())
    for magic, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = -1
        for _ in range(3):
            at = data.find(magic, at + 1)
        data[at + offset] |= 1
    (tmp_path / "p.zip").write_bytes(data)
    reasons = {member.name: member.reason for member in unpacked(tmp_path / "p.zip", tmp_path / "out")}
    assert "is a link" in reasons["link.jpg"]
    assert "encrypted" in reasons["secret.jpg"] and reasons["good.jpg"] == ""
    assert "(LZMA). Unpack it" in reasons["packed.jpg"]
    assert all(". Pack " in reasons[name] for name in ("link.jpg", "secret.jpg"))


def test_a_damaged_member_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", {"bad.jpg": os.urandom(500), "good.jpg": b"x"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(data)
    bad, good = unpacked(path, tmp_path / "out")
    assert bad.path is None and "bad.jpg can't be unpacked" in bad.reason and good.path
    assert bad.reason.endswith(". Pack it again.")
    assert [file.name for file in (tmp_path / "out").iterdir()] == [good.path.name]


def test_too_many_photographs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (incoming_module, unpack_module):
        monkeypatch.setattr(module, "MAX_PHOTOS", 3)
    members = {f"{number}.jpg": picture_bytes() for number in range(5)}
    *taken, refused = unpacked(packed(tmp_path / "five.zip", members), tmp_path / "out")
    assert len(taken) == 3 and "3 photographs are the limit" in refused.reason
    two = [packed(tmp_path / f"{n}.zip", dict(list(members.items())[:2])) for n in range(2)]
    with pytest.raises(OutOfRange, match="more than 3 photographs"):
        gather(two, tmp_path / "in")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_half_a_zip_is_named(tmp_path: Path, share: float) -> None:
    path = packed(tmp_path / "p.zip", {"a.jpg": os.urandom(3000)})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BadPhoto, match=r"p\.zip is a damaged zip file"):
        open_zip(path)


def test_flipped_bytes_never_crash(tmp_path: Path) -> None:
    whole = packed(tmp_path / "whole.zip", {"a.jpg": picture_bytes(), "b/c.png": picture_bytes("PNG")})
    data = whole.read_bytes()
    for at in range(0, len(data), 3):
        broken = bytearray(data)
        broken[at] ^= 0xFF
        (tmp_path / "p.zip").write_bytes(broken)
        try:
            for member in unpack(tmp_path / "p.zip", tmp_path / f"out-{at}"):
                assert (member.path is None) == bool(member.reason)
        except BadPhoto as error:
            assert "p.zip" in error.what


def test_gather_mixes_files_folders_and_zips(tmp_path: Path) -> None:
    (tmp_path / "trip").mkdir()
    (tmp_path / "trip" / "b.jpg").write_bytes(picture_bytes())
    (tmp_path / "a.jpg").write_bytes(picture_bytes())
    packed(tmp_path / "more.zip", {"c.jpg": picture_bytes()})
    packed(tmp_path / "none.zip", {"c.txt": b"text"})
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04" + bytes(50))
    paths = [tmp_path / name for name in ("a.jpg", "trip", "more.zip", "none.zip", "broken.zip")]
    members = gather(paths, tmp_path / "in")
    assert [member.name for member in members] == ["a.jpg", "b.jpg", "c.jpg", "none.zip", "broken.zip"]
    assert [bool(member.path) for member in members] == [True, True, True, False, False]
    assert "holds no pictures" in members[3].reason and "damaged" in members[4].reason


def test_a_killed_jobs_folder_is_swept_but_not_a_living_ones(tmp_path: Path) -> None:
    dead = tmp_path / ".incoming-dead"
    dead.mkdir()
    (dead / "0001.jpg").touch()
    with incoming(tmp_path) as living:
        assert not dead.exists()
        with incoming(tmp_path) as other:
            assert living.is_dir() and other != living
    assert not list(tmp_path.iterdir())
