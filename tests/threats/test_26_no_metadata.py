"""26 and 4: HEIC files and zips lose GPS and maker notes as they come in; nothing else of the photographs is lost."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dreamgui.data.exchange.exchange import export_zip, import_export, is_export
from dreamgui.data.exchange.incoming import gather
from dreamgui.data.photos import bare_zip
from dreamgui.data.photos.bare import HEAD_KEPT_BYTES
from dreamgui.data.photos.bare_zip import strip_upload
from dreamgui.data.photos.load import load_image
from dreamgui.errors import BadPhoto
from dreamgui.ui.parts.uploads import cache_folder
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.threats.strangers import API, Visitor
from tests.ui.conftest import Page, serve
from tests.ui.fakes import fake_visitor_services

MAKER = b"camera number 4711"
XMP = b"<x:xmpmeta><place>48.137 11.575</place></x:xmpmeta>"
SECRETS = (MAKER, b"48.137", b"GPSLatitude")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("bare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        yield from serve(fake_visitor_services(folder / "work"))


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x010F] = MAKER.decode()
    found.get_ifd(0x8825)[2] = (48.0, 8.0, 30.0)
    return found


def heic(orientation: int = 6, **more: object) -> bytes:
    """A HEIC as a telephone makes it: EXIF with GPS, XMP, and the picture turned by a property."""
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener(thumbnails=False)
    told = exif()
    told[0x0112] = orientation
    stream = io.BytesIO()
    picture = Image.effect_noise((64, 48), 90).convert("RGB")
    picture.save(stream, "HEIF", exif=told.tobytes(), xmp=XMP, **more)
    return stream.getvalue()


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((64, 48), 90).convert("RGB").save(stream, "JPEG", exif=exif(), comment=MAKER)
    return stream.getvalue()


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def says_nothing(data: bytes) -> bool:
    return not any(secret in data for secret in SECRETS)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"chroma": 444},
        {"thumbnails": [32]},
        {"save_all": True, "append_images": [Image.new("RGB", (16, 16))]},
    ],
)
def test_a_heic_keeps_its_picture_and_loses_the_rest(tmp_path: Path, more: dict[str, object]) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(heic(**more))
    assert MAKER in path.read_bytes() and XMP in path.read_bytes()
    before = load_image(path)
    assert strip_upload(path) and says_nothing(path.read_bytes())
    after = load_image(path)
    assert after.size == before.size and after.tobytes() == before.tobytes()
    with Image.open(path) as image:
        assert not image.getexif().get_ifd(0x8825) and not image.info.get("xmp", b"").strip(b"\0")


def test_an_item_without_bytes_costs_a_heic_nothing(tmp_path: Path) -> None:
    """A length of 0 would mean the whole file, which isn't the metadata's alone."""
    path, whole = tmp_path / "photo.heic", heic()
    about = struct.pack(">IHII", whole.index(XMP), 1, 0, len(XMP))
    assert whole.count(about) == 1
    path.write_bytes(whole.replace(about, struct.pack(">IHII", 0, 1, 0, 0)))
    before = load_image(path).tobytes()
    strip_upload(path)
    assert load_image(path).tobytes() == before


def test_broken_heics_are_no_crash(tmp_path: Path) -> None:
    """Cut anywhere in their boxes, and with each byte there changed."""
    whole, path = heic(), tmp_path / "photo.heic"
    for at in range(0, min(len(whole), 900), 7):
        path.write_bytes(whole[:at])
        strip_upload(path)
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        strip_upload(path)
        assert [each.name for each in tmp_path.iterdir()] == ["photo.heic"]


@pytest.mark.parametrize("kind", ["heic", "zip"])
def test_what_a_visitor_uploads_is_stored_and_served_without_metadata(page: Page, kind: str) -> None:
    sent = heic() if kind == "heic" else packed({"a/1.jpg": jpeg(), "a/2.heic": heic()}, zipfile.ZIP_STORED)
    assert MAKER in sent
    visitor = Visitor(page.url)
    path = visitor.upload(f"photo.{kind}", sent)
    stored = Path(path).read_bytes()
    assert says_nothing(stored) and visitor.get(path).content == stored
    (*members,) = gather([Path(path)], Path(path).parent / "unpacked")
    assert [load_image(member.path or Path()).size for member in members] == [(48, 64)] * (
        kind == "heic"
    ) or len(members) == 2


def test_a_zip_keeps_photographs_captions_and_reasons(tmp_path: Path) -> None:
    path, unused = tmp_path / "photos.zip", b"MM\0*".ljust(40, b"\0") + MAKER * 9
    path.write_bytes(
        packed({
            "anna/1.jpg": jpeg(), "anna/1.txt": "a photo of anna, Zoë".encode(), "anna/1.jpg.json": b'{"geoData": 48.137}',
            "anna/1.xmp": XMP, "anna/scan.tif": unused, "anna/raw.nef": unused, "anna/more.zip": packed({"2.jpg": jpeg()}, 0),
            "anna/letter.docx": packed({"word.xml": XMP}, 0), "anna/broken.jpg": b"\xff\xd8\xff" + b"no", "__MACOSX/anna/._1.jpg": MAKER,
            "anna/no ending": jpeg(),
        })
    )  # fmt: skip
    plain = tmp_path / "before" / "photos.zip"
    plain.parent.mkdir()
    plain.write_bytes(path.read_bytes())
    assert strip_upload(path)
    kept = contents(path)
    assert list(kept) == list(contents(plain)) and says_nothing(b"".join(kept.values()))
    before, after = (
        [
            (member.name, member.reason, member.caption, member.path and member.path.name)
            for member in gather([each], each.parent / "unpacked")
        ]
        for each in (plain, path)
    )
    assert before == after and ("1.jpg", "", "a photo of anna, Zoë", "00001") in after


def test_members_that_arent_unpacked_are_named_and_empty(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.jpg", jpeg())
        archive.writestr(zipfile.ZipInfo("2.jpg"), jpeg(), zipfile.ZIP_BZIP2)
        link = zipfile.ZipInfo("3.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        locked = zipfile.ZipInfo("4.jpg")
        archive.writestr(locked, jpeg())
        locked.flag_bits |= 1
    before = [member.reason for member in gather([path], tmp_path / "before")]
    assert strip_upload(path) and says_nothing(path.read_bytes())
    assert [member.reason for member in gather([path], tmp_path / "after")] == before
    assert "bzip2" in before[1] and "link" in before[2] and "encrypted" in before[3]


def test_a_bomb_stays_within_its_allowance_and_damaged_zips_are_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bare_zip, "SPARE_BYTES", 1_500_000)
    path = tmp_path / "bomb.zip"
    path.write_bytes(packed({f"{n}.jpg": b"\xff\xd8\xff" + bytes(1_000_000) for n in range(5)}))
    assert strip_upload(path)
    assert [len(content) for content in contents(path).values()] == [1_000_003, *4 * [HEAD_KEPT_BYTES]]
    whole = packed({"1.jpg": jpeg(), "2.jpg": jpeg()})
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at] + b"\xff\xff" + whole[at + 2 :])
        strip_upload(path)
        assert [each.name for each in tmp_path.iterdir()] == ["bomb.zip"]


def test_a_member_without_a_name_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    path.write_bytes(packed({"Q.jpg": jpeg(), "1.jpg": jpeg()}).replace(b"Q.jpg", b"\0.jpg"))
    assert strip_upload(path) and says_nothing(path.read_bytes())
    assert list(contents(path)) == ["1.jpg"]


def test_what_cant_be_stripped_leaves_nothing(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a half-written zip, nor an upload that is nobody's."""
    before = {path for path in cache_folder().rglob("*") if path.is_file()}

    def fails(*_: object) -> bool:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(bare_zip, "strip_file", fails)
    path = tmp_path / "photos.zip"
    path.write_bytes(packed({"1.jpg": jpeg()}))
    with pytest.raises(RuntimeError):
        strip_upload(path)
    assert [each.name for each in tmp_path.iterdir()] == ["photos.zip"]
    answer = Visitor(page.url).client.post(f"/{API}/upload", files={"files": ("a.zip", path.read_bytes())})
    assert answer.status_code == 500
    assert {path for path in cache_folder().rglob("*") if path.is_file()} == before


def test_other_zips_and_files_stay_as_they_are(tmp_path: Path) -> None:
    checkpoint = packed({"archive/data.pkl": b"\x80\x02}q\0.", "archive/data/0": jpeg()})
    for name, content in {
        "model.ckpt": checkpoint,
        "words.zip": packed({"a.txt": b"words"}),
        "m.safetensors": b"\xff\x0a\0\0\0\0\0\0{",
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert not strip_upload(path) and path.read_bytes() == content


def test_a_picture_that_isnt_read_is_still_called_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    Image.new("RGB", (8, 8)).save(path, "TIFF", exif=exif(), description=MAKER.decode())
    assert MAKER in path.read_bytes()
    assert strip_upload(path) and MAKER not in path.read_bytes()
    with pytest.raises(BadPhoto, match="scan.tif is a TIFF"):
        load_image(path)


@pytest.mark.parametrize(
    "head",
    [b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"IIRS\x08\0\0\0", b"IIU\0\x18\0\0\0", b"MMOR\0\0\0\x08", b"\0MRM\0\0\0\0",
     b"FOVb\0\0\2\0", b"II\x1a\0\0\0HEAPCCDR", b"\0\0\0\x0cJXL \r\n\x87\n"],
)  # fmt: skip
def test_raw_files_of_each_maker_and_jpeg_xl_lose_all_but_their_head(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "photo"
    path.write_bytes(head.ljust(64, b"\0") + MAKER)
    assert strip_upload(path) and path.read_bytes() == head.ljust(HEAD_KEPT_BYTES, b"\0")


def test_a_model_file_whose_first_bytes_could_be_a_picture_s_stays(tmp_path: Path) -> None:
    """The length of a safetensors header can be 2815 bytes, a bare JPEG XL's first two."""
    path = tmp_path / "lora.safetensors"
    path.write_bytes((2815).to_bytes(8, "little") + b"{" + b" " * 4000)
    assert not strip_upload(path)


def test_an_exported_dataset_comes_back_whole(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    dataset = make_dataset(workspace, "anna")
    path = export_zip(dataset, tmp_path / "anna.zip")
    first = contents(path)
    assert strip_upload(path) and contents(path) == first and is_export(path)
    assert [entry.caption for entry in import_export(path, workspace, "back").dataset.entries] == [
        entry.caption for entry in dataset.entries
    ]
