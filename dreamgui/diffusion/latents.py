"""Pictures become latents once: mean and spread as the autoencoder gives them, kept on the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from dreamgui.diffusion.sample import pictures_at_once
from dreamgui.diffusion.text import encode_prompts
from dreamgui.errors import Damaged
from dreamgui.workspace import write_atomic

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures and captions as the training needs them, on the device, in fp32.

    Attributes:
        mean, std: of each picture's latents, [n, 4, h, w], already scaled as the UNet knows them.
        text: embeddings of the different captions, [k, 77, d].
        caption: which of them belongs to each picture, [n], on the CPU.
    """

    mean: Tensor
    std: Tensor
    text: Tensor
    caption: Tensor

    def __len__(self) -> int:
        return len(self.mean)

    def latents(self, chosen: Tensor, noise: Tensor) -> Tensor:
        """Latents [b, 4, h, w] of the chosen pictures [b], drawn from their distribution with this noise."""
        chosen = chosen.to(self.mean.device)
        return self.mean[chosen] + self.std[chosen] * noise

    def embeddings(self, chosen: Tensor) -> Tensor:
        """Text embeddings [b, 77, d] of the chosen pictures [b]."""
        return self.text[self.caption[chosen].to(self.text.device)]


def encode_pictures(
    parts: Parts, pictures: Sequence[tuple[Path, str]], cache: Path
) -> Generator[tuple[int, int], None, EncodedPictures]:
    """Encode pictures, each a file and its caption, and yield ``(done, total)`` on the way.

    Args:
        cache: a safetensors file of what was encoded before, by content of picture and name of base model;
            it is written anew when something was missing.

    Raises:
        Damaged: a picture can't be read.
    """
    keys = [_key(parts, path) for path, _ in pictures]
    known = _read(cache)
    moments = {key: known[key] for key in keys if key in known}
    missing = list(
        {key: path for key, (path, _) in zip(keys, pictures, strict=True) if key not in moments}.items()
    )
    size_px, done = parts.card.size_px, len(pictures) - len(missing)
    room = pictures_at_once(parts.device, size_px, size_px)
    for start in range(0, len(missing), room):
        batch = missing[start : start + room]
        pixels = torch.stack([_pixels(path, size_px) for _, path in batch])
        moments.update(zip((key for key, _ in batch), _moments(parts, pixels), strict=True))
        done += len(batch)
        yield done, len(pictures)
    if missing:
        write_atomic(cache, save(moments))
    return _together(parts, [moments[key] for key in keys], [caption for _, caption in pictures])


@torch.no_grad()
def _moments(parts: Parts, pixels: Tensor) -> Tensor:
    """Scaled mean and deviation of pictures [b, 3, H, W], -1..1, as [b, 2, 4, h, w] in fp32 on the CPU."""
    vae: Any = parts.vae
    latents = vae.encode(pixels.to(parts.device, vae.dtype)).latent_dist
    both = torch.stack([latents.mean, latents.std], dim=1) * vae.config.scaling_factor
    return both.float().cpu().contiguous()


def _together(parts: Parts, moments: list[Tensor], captions: list[str]) -> EncodedPictures:
    mean, std = torch.stack(moments).to(parts.device).unbind(1)
    texts = encode_prompts(parts.text_encoder, parts.tokenizer, captions)
    place = {caption: index for index, caption in enumerate(texts)}
    return EncodedPictures(
        mean=mean.contiguous(),
        std=std.contiguous(),
        text=torch.cat(list(texts.values())).float(),
        caption=torch.tensor([place[caption] for caption in captions]),
    )


def _pixels(path: Path, size_px: int) -> Tensor:
    """A square picture as [3, size, size], -1..1."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except OSError as error:
        raise Damaged(f"The picture {path} can't be read: {error}.", "Crop the photographs again.") from error
    if image.size != (size_px, size_px):
        image = image.resize((size_px, size_px), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1


def _key(parts: Parts, path: Path) -> str:
    """Changes with the picture, the autoencoder, its number format and the size."""
    card = parts.card
    kind = f"{card.name} {card.sha256} {card.size_px} {parts.vae.dtype} "
    return hashlib.sha256(kind.encode() + path.read_bytes()).hexdigest()[:32]


def _read(cache: Path) -> dict[str, Tensor]:
    try:
        return load_file(cache) if cache.exists() else {}
    except (OSError, SafetensorError):
        return {}
