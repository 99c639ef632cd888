from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dreamgui.diffusion import latents
from dreamgui.diffusion.latents import EncodedPictures, Picture, encode_pictures, face_weights
from dreamgui.errors import Damaged
from dreamgui.models.manager import Parts
from tests.diffusion.made import picture


def files(folder: Path, count: int) -> list[Picture]:
    for number in range(count):
        picture(number).save(folder / f"{number}.png")
    return [Picture(folder / f"{number}.png", f"caption {number % 2}") for number in range(count)]


def encoded(
    parts: Parts, pictures: list[Picture], cache: Path
) -> tuple[EncodedPictures, list[tuple[int, int]]]:
    steps, told = encode_pictures(parts, pictures, cache), []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            return end.value, told


def test_moments_are_the_autoencoders(parts: Parts, tmp_path: Path) -> None:
    pictures = files(tmp_path, 3)
    result, told = encoded(parts, pictures, tmp_path / "cache")
    assert told[-1] == (3, 3) and len(result) == 3
    with torch.no_grad():
        vae: Any = parts.vae
        own = vae.encode(latents._pixels(pictures[1], 64)[None]).latent_dist
    torch.testing.assert_close(result.mean[1:2], own.mean * 0.18215)
    torch.testing.assert_close(result.std[1:2], own.std * 0.18215)
    assert result.text.shape == (2, 77, 32) and result.caption.tolist() == [0, 1, 0]
    generated = result.latents(torch.tensor([1, 0]), torch.zeros(2, 4, 8, 8))
    assert torch.equal(generated, result.mean[[1, 0]])
    assert torch.equal(result.embeddings(torch.tensor([2])), result.text[:1])


def test_nothing_is_encoded_twice(parts: Parts, tmp_path: Path) -> None:
    pictures, cache = files(tmp_path, 3), tmp_path / "cache"
    first, _ = encoded(parts, pictures, cache)
    again, told = encoded(parts, pictures, cache)
    assert told == [] and torch.equal(first.mean, again.mean) and torch.equal(first.std, again.std)
    picture(9).save(pictures[0].path)
    changed, told = encoded(parts, pictures, cache)
    assert told == [(3, 3)]
    assert not torch.equal(first.mean[0], changed.mean[0]) and torch.equal(first.mean[1:], changed.mean[1:])
    cache.write_bytes(cache.read_bytes()[:100])
    recovered, _ = encoded(parts, pictures, cache)
    torch.testing.assert_close(recovered.mean, changed.mean)


def test_other_sizes_are_brought_to_the_bases(parts: Parts, tmp_path: Path) -> None:
    picture(1, 100).save(tmp_path / "large.png")
    result, _ = encoded(parts, [Picture(tmp_path / "large.png", "a")], tmp_path / "cache")
    assert result.mean.shape == (1, 4, 8, 8)


def test_a_broken_picture_is_named(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(b"\x89PNG")
    with pytest.raises(Damaged, match=r"half\.png"):
        encoded(parts, [Picture(tmp_path / "half.png", "a")], tmp_path / "cache")
    Image.new("RGB", (64, 64)).save(tmp_path / "half.png")
    encoded(parts, [Picture(tmp_path / "half.png", "a")], tmp_path / "cache")


def test_a_mirrored_picture_is_another(parts: Parts, tmp_path: Path) -> None:
    (one,) = files(tmp_path, 1)
    both, _ = encoded(parts, [one, one._replace(mirrored=True)], tmp_path / "cache")
    assert not torch.equal(both.mean[0], both.mean[1])
    assert torch.equal(latents._pixels(one._replace(mirrored=True), 64), latents._pixels(one, 64).flip(2))


def test_the_faces_area_weighs_more() -> None:
    face = (0.25, 0.0, 0.5, 0.5)
    pictures = [Picture(Path("a"), "", face), Picture(Path("a"), "", face, True), Picture(Path("a"), "")]
    weights = face_weights(pictures, 8, 8, 3.0)
    assert weights is not None and weights.shape == (3, 1, 8, 8)
    torch.testing.assert_close(weights.mean(dim=(1, 2, 3)), torch.ones(3))
    one = weights[0, 0] / weights[0, 0, 7, 7]
    assert (one[:4, 2:4] == 3).all() and one.sum() == 64 + 2 * 8
    assert torch.equal(weights[1, 0], weights[0, 0].flip(1)) and (weights[2] == 1).all()
    assert face_weights(pictures, 8, 8, 1.0) is None
    part = face_weights([Picture(Path("a"), "", (0.0, 0.0, 0.1875, 1.0))], 8, 8, 2.0)
    assert part is not None
    torch.testing.assert_close(part[0, 0, 0, :3] / part[0, 0, 0, 7], torch.tensor([2.0, 1.5, 1.0]))
