from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dreamgui.diffusion import latents
from dreamgui.diffusion.latents import EncodedPictures, encode_pictures
from dreamgui.errors import Damaged
from dreamgui.models.manager import Parts
from tests.diffusion.made import picture


def files(folder: Path, count: int) -> list[tuple[Path, str]]:
    for number in range(count):
        picture(number).save(folder / f"{number}.png")
    return [(folder / f"{number}.png", f"caption {number % 2}") for number in range(count)]


def encoded(
    parts: Parts, pictures: list[tuple[Path, str]], cache: Path
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
        own = vae.encode(latents._pixels(pictures[1][0], 64)[None]).latent_dist
    torch.testing.assert_close(result.mean[1:2], own.mean * 0.18215)
    torch.testing.assert_close(result.std[1:2], own.std * 0.18215)
    assert result.text.shape == (2, 77, 32) and result.caption.tolist() == [0, 1, 0]
    drawn = result.latents(torch.tensor([1, 0]), torch.zeros(2, 4, 8, 8))
    assert torch.equal(drawn, result.mean[[1, 0]])
    assert torch.equal(result.embeddings(torch.tensor([2])), result.text[:1])


def test_nothing_is_encoded_twice(parts: Parts, tmp_path: Path) -> None:
    pictures, cache = files(tmp_path, 3), tmp_path / "cache"
    first, _ = encoded(parts, pictures, cache)
    again, told = encoded(parts, pictures, cache)
    assert told == [] and torch.equal(first.mean, again.mean) and torch.equal(first.std, again.std)
    picture(9).save(pictures[0][0])
    changed, told = encoded(parts, pictures, cache)
    assert told == [(3, 3)]
    assert not torch.equal(first.mean[0], changed.mean[0]) and torch.equal(first.mean[1:], changed.mean[1:])
    cache.write_bytes(cache.read_bytes()[:100])
    recovered, _ = encoded(parts, pictures, cache)
    torch.testing.assert_close(recovered.mean, changed.mean)


def test_other_sizes_are_brought_to_the_bases(parts: Parts, tmp_path: Path) -> None:
    picture(1, 100).save(tmp_path / "large.png")
    result, _ = encoded(parts, [(tmp_path / "large.png", "a")], tmp_path / "cache")
    assert result.mean.shape == (1, 4, 8, 8)


def test_a_broken_picture_is_named(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(b"\x89PNG")
    with pytest.raises(Damaged, match=r"half\.png"):
        encoded(parts, [(tmp_path / "half.png", "a")], tmp_path / "cache")
    Image.new("RGB", (64, 64)).save(tmp_path / "half.png")
    encoded(parts, [(tmp_path / "half.png", "a")], tmp_path / "cache")
