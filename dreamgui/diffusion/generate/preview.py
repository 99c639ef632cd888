"""A small picture from latents without the VAE's decoder: a linear map of each latent to a colour.

The map is fitted to the base model's own VAE, once a base, on photographs that come with the program.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dreamgui.assets import asset

_PHOTOGRAPHS = 3
_SIDE_LATENTS = 32
_MAPS: WeakKeyDictionary[Any, Tensor] = WeakKeyDictionary()


@torch.no_grad()
def preview(vae: Any, latents: Tensor) -> Image.Image:
    """Return a picture, a pixel a latent, of latents [4, h, w] as the UNet knows them (scaled)."""
    if vae not in _MAPS:
        _MAPS[vae] = _fitted(vae)
    colours = torch.einsum("chw,cd->hwd", _with_one(latents.float().cpu()), _MAPS[vae])
    return Image.fromarray((colours.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def _fitted(vae: Any) -> Tensor:
    """The map [5, 3] from a latent and a one to RGB of 0..1, by least squares."""
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    files = sorted((asset("demo") / "photos").glob("*.jpg"))[:_PHOTOGRAPHS]
    rows, colours = [], []
    for file in files:
        with Image.open(file) as image:
            square = image.convert("RGB").resize((_SIDE_LATENTS * factor, _SIDE_LATENTS * factor))
        small = square.resize((_SIDE_LATENTS, _SIDE_LATENTS), Image.Resampling.BOX)
        colours.append(torch.from_numpy(np.asarray(small, np.float32) / 255).flatten(0, 1))
        rows.append(_with_one(_encoded(vae, square)).flatten(1).T)
    return torch.linalg.lstsq(torch.cat(rows), torch.cat(colours)).solution


def _encoded(vae: Any, image: Image.Image) -> Tensor:
    """Latents [4, h, w] of a picture, scaled, fp32 on the CPU."""
    pixels = torch.from_numpy(np.asarray(image, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    mean = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mean
    return (mean[0] * vae.config.scaling_factor).float().cpu()


def _with_one(latents: Tensor) -> Tensor:
    """Latents [5, h, w]: a channel of ones behind the others, for what doesn't depend on them."""
    return torch.cat([latents, torch.ones_like(latents[:1])])
