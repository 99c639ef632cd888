"""The same picture in colours declared in other ways comes out the same."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from dreamgui.data.photos.load import load_image, load_square
from dreamgui.data.photos.png_colours import profile
from dreamgui.errors import BadPhoto

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_LINEAR = profile({"gamma": 1.0}, grey=True) or b""


def linear_named_srgb() -> bytes:
    """The profile that calls itself "sRGB built-in", with a brightness curve of power 1."""
    place = SRGB.index(b"para\0\0\0\0\0\3\0\0") + 12
    straight = b"".join(struct.pack(">i", value << 16) for value in (1, 1, 0, 1, 0))
    return SRGB[:place] + straight + SRGB[place + 20 :]


def ramp() -> np.ndarray:
    """[32, 64, 3] from 0 to 1: another colour in each row, brighter to the right."""
    level = np.linspace(0.05, 0.95, 64)[None, :, None]
    tint = np.stack([np.linspace(0.4, 1, 32), np.full(32, 0.8), np.linspace(1, 0.3, 32)], -1)[:, None]
    return level * tint


def picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray((values * 255 + 0.5).astype(np.uint8))


def straightened(values: np.ndarray) -> np.ndarray:
    """Light's amount of sRGB values (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def with_chunks(image: Image.Image, **chunks: bytes) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data, extra = buffer.getvalue(), b""
    for name, content in chunks.items():
        kind = name.encode()
        extra += struct.pack(">I", len(content)) + kind + content
        extra += struct.pack(">I", zlib.crc32(kind + content))
    return data[:33] + extra + data[33:]


def difference(path: Path, wanted: np.ndarray) -> float:
    return float(np.abs(np.asarray(load_image(path), int) - np.asarray(picture(wanted), int)).mean())


def save(image: Image.Image, path: Path, icc_profile: bytes) -> Path:
    image.save(path, icc_profile=icc_profile)
    return path


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "P"])
def test_a_linear_profile_called_srgb_is_converted(tmp_path: Path, kind: str) -> None:
    linear = picture(straightened(ramp()))
    stored = linear.quantize(256) if kind == "P" else linear.convert(kind)
    path = save(stored, tmp_path / "a.png", linear_named_srgb())
    assert difference(path, ramp()) < (6 if kind == "P" else 1.5)


def test_a_linear_square_is_converted_too(tmp_path: Path) -> None:
    path = save(picture(straightened(ramp())), tmp_path / "a.png", linear_named_srgb())
    square = np.asarray(load_square(path, (0, 0, 32, 32), 32), int)
    assert np.abs(square - np.asarray(picture(ramp()), int)[:, :32]).mean() < 1.5


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_profile_is_followed(tmp_path: Path, mode: str) -> None:
    grey = np.repeat(ramp()[:, :, :1], 3, 2)
    path = save(picture(straightened(grey)).convert("L").convert(mode), tmp_path / "a.png", GREY_LINEAR)
    assert difference(path, grey) < 3


@pytest.mark.parametrize("name", [b"sRGB", b"abcd"])
def test_a_profile_with_srgbs_colours_changes_no_bit(tmp_path: Path, name: bytes) -> None:
    renamed = SRGB.replace("sRGB".encode("utf-16-be"), name.decode().encode("utf-16-be"))
    path = save(picture(ramp()), tmp_path / "a.png", renamed)
    assert difference(path, ramp()) == 0


def test_a_profile_of_another_kind_of_picture_is_passed_over(tmp_path: Path) -> None:
    assert difference(save(picture(ramp()), tmp_path / "a.png", GREY_LINEAR), ramp()) == 0


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": struct.pack(">I", 100_000)},
        {"gAMA": struct.pack(">I", 45_455), "cICP": bytes((1, 8, 0, 1))},
    ],
)
def test_linear_light_by_a_pngs_own_words(tmp_path: Path, chunks: dict[str, bytes]) -> None:
    (tmp_path / "a.png").write_bytes(with_chunks(picture(straightened(ramp())), **chunks))
    assert difference(tmp_path / "a.png", ramp()) < 1.5


def test_wide_primaries_by_a_pngs_own_words(tmp_path: Path) -> None:
    display_p3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
    chrm = b"".join(struct.pack(">I", round(value * 100_000)) for value in display_p3)
    red = picture(np.full((8, 8, 3), (0.9175, 0.2003, 0.1386)))  # sRGB's red in Display P3
    ways = {"cICP": bytes((12, 13, 0, 1))}, {"gAMA": struct.pack(">I", 45_455), "cHRM": chrm}
    for chunks in ways:
        (tmp_path / "a.png").write_bytes(with_chunks(red, **chunks))
        assert np.abs(np.asarray(load_image(tmp_path / "a.png"), int) - (255, 0, 0)).max() < 12, chunks


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": struct.pack(">I", 45_455)},
        {"gAMA": struct.pack(">I", 100_000), "sRGB": b"\0"},
        {"gAMA": bytes(4)},
        {"gAMA": struct.pack(">I", 50_000), "cHRM": bytes(32)},
        {"cICP": b"\1"},
    ],
)
def test_words_that_say_srgb_or_nothing_usable_change_no_bit(
    tmp_path: Path, chunks: dict[str, bytes]
) -> None:
    (tmp_path / "a.png").write_bytes(with_chunks(picture(ramp()), **chunks))
    assert difference(tmp_path / "a.png", ramp()) == 0


@pytest.mark.parametrize(("curve", "name"), [(16, "PQ"), (18, "HLG")])
def test_a_picture_of_high_dynamic_range_is_refused_by_name(tmp_path: Path, curve: int, name: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(with_chunks(picture(ramp()), cICP=bytes((9, curve, 0, 1))))
    with pytest.raises(BadPhoto, match=name) as refused:
        load_image(path)
    assert "standard range" in refused.value.next_step
