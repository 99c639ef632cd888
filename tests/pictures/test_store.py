"""Pictures on the disk with their texts: kept, read, listed, deleted, put back."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dreamgui.errors import BadPhoto, NotEnoughDisk, UnknownName
from dreamgui.pictures.made import Made
from dreamgui.pictures.store import (
    keep_picture,
    picture_name,
    picture_path,
    put_back,
    read_picture,
    remove,
    summaries,
)
from dreamgui.workspace import Workspace

MADE = Made(
    prompt="\u4e00 cat \U0001f431",
    steps=3,
    sampler="ddim",
    guidance_scale=4.0,
    seed=9,
    size_px=(8, 8),
    model="m",
)


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


def kept(home: Workspace, made: Made = MADE, model: str = "her-lora") -> Path:
    return keep_picture(
        home, Image.new("RGB", (8, 8), "red"), made, {"model": model, "seed": 9}, {"likeness": 0.5}
    )


def test_a_picture_says_how_it_was_made(home: Workspace) -> None:
    path = kept(home)
    found = read_picture(path)
    assert (found.made, found.job, found.figures) == (
        MADE,
        {"model": "her-lora", "seed": 9},
        {"likeness": 0.5},
    )
    with Image.open(path) as image:
        assert set(image.info) == {"parameters", "dreamgui"} and not image.getexif()


def test_each_gets_a_number_and_none_is_overwritten(home: Workspace) -> None:
    paths = [kept(home) for _ in range(3)]
    assert [path.name for path in paths] == ["00001-9.png", "00002-9.png", "00003-9.png"]
    assert [each.name for each in summaries(home)] == [picture_name(path) for path in reversed(paths)]


def test_deletion_is_undone(home: Workspace) -> None:
    name = picture_name(kept(home))
    remove(home, name)
    assert summaries(home) == []
    with pytest.raises(UnknownName):
        picture_path(home, name)
    put_back(home, name)
    assert read_picture(picture_path(home, name)).made == MADE
    with pytest.raises(UnknownName):
        put_back(home, name)


def test_a_picture_that_is_put_back_replaces_none(home: Workspace) -> None:
    """A deleted picture keeps its number."""
    path = kept(home)
    name = picture_name(path)
    remove(home, name)
    other = kept(home, Made(prompt="other", steps=1, seed=9, guidance_scale=1.0, size_px=(8, 8)))
    assert other != path
    put_back(home, name)
    prompts = {each.prompt for each in summaries(home)}
    assert prompts == {MADE.prompt, "other"}


@pytest.mark.parametrize(
    "name", ["", "../x", "2026-01-01/../../etc/passwd", "2026-01-01/00001-1", "/etc/passwd"]
)
def test_only_kept_pictures_have_names(home: Workspace, name: str) -> None:
    for action in (picture_path, remove, put_back):
        with pytest.raises(UnknownName):
            action(home, name)


def test_the_list_names_model_and_prompt(home: Workspace) -> None:
    kept(home, model="")
    kept(home)
    (home.root / "pictures" / "stray.txt").write_text("x")
    day = picture_path(home, summaries(home)[0].name).parent
    (day / "00009-1.png").write_bytes(b"no picture")
    (day / "00010-1.png").touch()
    assert [(each.model, each.prompt) for each in summaries(home)] == [
        ("", ""), ("her-lora", MADE.prompt), ("m", MADE.prompt),
    ]  # fmt: skip


def test_a_full_disk_leaves_nothing(home: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dreamgui.workspace._write_atomic", full)
    with pytest.raises(NotEnoughDisk):
        kept(home)
    assert list((home.root / "pictures").rglob("*.png")) == []


def test_pictures_of_a1111(tmp_path: Path) -> None:
    text = "a castle\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 8x8"
    image, info, exif = Image.new("RGB", (8, 8)), PngInfo(), Image.Exif()
    info.add_text("parameters", text)
    image.save(tmp_path / "a.png", pnginfo=info)
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
    image.save(tmp_path / "a.jpg", exif=exif)
    image.save(tmp_path / "a.webp", exif=exif)
    for name in ("a.png", "a.jpg", "a.webp"):
        found = read_picture(tmp_path / name)
        assert (found.made.prompt, found.made.sampler, found.made.seed, found.job) == (
            "a castle",
            "euler-a",
            5,
            {},
        )


@pytest.mark.parametrize("own", ["[1]", "{", "null", '{"job": 3}', "[" * 100_000])
def test_broken_texts_of_ours_are_left_out(tmp_path: Path, own: str) -> None:
    info = PngInfo()
    info.add_text("parameters", "a castle")
    info.add_text("dreamgui", own)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    assert (read_picture(tmp_path / "a.png").job, read_picture(tmp_path / "a.png").made.prompt) == (
        {},
        "a castle",
    )


def test_what_says_nothing_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(BadPhoto, match="doesn't say how it was made"):
        read_picture(tmp_path / "plain.png")
    with pytest.raises(BadPhoto, match=r"text\.png can't be read"):
        read_picture(tmp_path / "text.png")
    info = PngInfo()
    info.add_text("parameters", "x" * 70_000_000, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "bomb.png", pnginfo=info)
    with pytest.raises(BadPhoto, match=r"bomb\.png can't be read"):
        read_picture(tmp_path / "bomb.png")
