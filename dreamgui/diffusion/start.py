"""The beginning of a picture: noise, or another picture with noise on it, and the part of it that stays.

The same as diffusers' StableDiffusionImg2ImgPipeline and StableDiffusionInpaintPipeline with a UNet of four channels
(tests/test_parity.py). From a picture: Meng et al. 2021 (SDEdit), https://arxiv.org/abs/2108.01073.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_MASKED = 128


@dataclass(frozen=True)
class StartImage:
    """A picture to begin with.

    Attributes:
        image: RGB, of any size; it is brought to the size of the generated picture.
        strength: 0 to 1; the share of the noise levels that it passes. 1 leaves little of it.
        mask: white where the picture is generated anew; the whole picture where None.
    """

    image: Image.Image
    strength: float = 0.6
    mask: Image.Image | None = None


@dataclass(frozen=True)
class Beginning:
    """First latents of a sampler.

    Attributes:
        latents: [n, 4, h, w].
        timesteps: those that are left, from the noisiest one on.
        kept: the part of the picture that stays; None where all of it is generated.
    """

    latents: Tensor
    timesteps: Tensor
    kept: KeptPart | None = None


@dataclass(frozen=True)
class KeptPart:
    """The latents [n, 4, h, w] of a picture that stays outside a mask [1, 1, h, w], and the noise on them."""

    clean: Tensor
    noise: Tensor
    mask: Tensor

    def put_back(self, latents: Tensor, sampler: Any, next_timestep: Tensor | None) -> Tensor:
        """Return latents with the kept part as noisy as they are. ``next_timestep`` is None after the last step."""
        kept = self.clean
        if next_timestep is not None:
            kept = sampler.add_noise(kept, self.noise, next_timestep[None])
        return (1 - self.mask) * kept + self.mask * latents


def seeded(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return a generator of noise for each picture, on the CPU: the noise is the same on every device and in any batch."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise_of(generators: Sequence[torch.Generator], height: int, width: int, channels: int = 4) -> Tensor:
    """Noise [n, channels, height, width] in fp32, one picture's from each generator."""
    return torch.cat([torch.randn(1, channels, height, width, generator=each) for each in generators])


def from_noise(sampler: Any, noise: Tensor) -> Beginning:
    """Begin with noise alone."""
    return Beginning(noise * sampler.init_noise_sigma, sampler.timesteps)


def from_picture(
    vae: Any, sampler: Any, start: StartImage, generators: Sequence[torch.Generator], like: Tensor, steps: int
) -> Beginning:
    """Begin with a picture, as noisy as its strength says.

    Args:
        generators: one a picture; each gives the noise of the VAE first, then that of the latents.
        like: a tensor [n, 4, h, w] with the shape, dtype and device of the latents.
        steps: number of denoising steps at strength 1.
    """
    height, width = like.shape[2:]
    pixels = _pixels(start.image, width * _factor(vae), height * _factor(vae)).to(like.device, vae.dtype)
    # One by one, as convolutions of a batch round differently; the encoder's result is the same for each.
    distribution = vae.encode(pixels).latent_dist
    sampled = torch.cat([distribution.sample(generator=each) for each in generators])
    clean = (sampled * vae.config.scaling_factor).to(like.dtype)
    if start.mask is not None:
        # As diffusers lays it out there: another layout rounds differently.
        clean = clean.contiguous()
    noise = noise_of(generators, height, width).to(like)
    count = min(int(steps * start.strength), steps)
    first = max(steps - count, 0) * sampler.order
    timesteps = sampler.timesteps[first:]
    if hasattr(sampler, "set_begin_index"):
        sampler.set_begin_index(first)
    if start.mask is not None and start.strength == 1:
        latents = noise * sampler.init_noise_sigma
    elif len(timesteps):
        latents = sampler.add_noise(clean, noise, timesteps[:1].repeat(len(generators)))
    else:
        latents = clean
    if start.mask is None:
        return Beginning(latents, timesteps)
    mask = _mask(start.mask, width * _factor(vae), height * _factor(vae)).to(like)
    return Beginning(
        latents, timesteps, KeptPart(clean, noise, torch.nn.functional.interpolate(mask, (height, width)))
    )


def _factor(vae: Any) -> int:
    return 2 ** (len(vae.config.block_out_channels) - 1)


def _pixels(image: Image.Image, width_px: int, height_px: int) -> Tensor:
    """A picture as [1, 3, height, width], -1..1."""
    resized = image.convert("RGB").resize((width_px, height_px), Image.Resampling.LANCZOS)
    # Channels last, as diffusers gives it: another layout has other kernels, which round differently.
    levels = torch.from_numpy((np.array(resized).astype(np.float32) / 255)[None].transpose(0, 3, 1, 2))
    return 2 * levels - 1


def _mask(image: Image.Image, width_px: int, height_px: int) -> Tensor:
    """A mask as [1, 1, height, width], 0 or 1."""
    resized = image.convert("L").resize((width_px, height_px), Image.Resampling.LANCZOS)
    return torch.from_numpy((np.array(resized) >= _MASKED).astype(np.float32))[None, None]
