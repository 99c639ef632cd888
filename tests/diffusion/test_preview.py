"""The linear preview of latents is fitted to the base model's own VAE."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dreamgui.assets import asset
from dreamgui.diffusion.generate.preview import preview


class LinearVae:
    """Its latents are known sums of the colours, so the right preview is known."""

    config = SimpleNamespace(block_out_channels=(1, 1, 1, 1), scaling_factor=0.2)
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, seed: int) -> None:
        self.mix = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))

    def encode(self, pixels: Tensor) -> Any:
        mean = torch.einsum("lc,bchw->blhw", self.mix, F.avg_pool2d(pixels, 8)) + 0.3
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean))


def test_each_vae_has_its_own_map() -> None:
    photograph = (
        Image.open(sorted((asset("demo") / "photos").glob("*.jpg"))[5]).convert("RGB").resize((128, 96))
    )
    pixels = torch.from_numpy(np.asarray(photograph, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    small = np.asarray(photograph.resize((16, 12), Image.Resampling.BOX)).astype(int)
    for seed in (1, 2):
        vae = LinearVae(seed)
        shown = preview(vae, vae.encode(pixels).latent_dist.mean[0] * 0.2)
        assert shown.size == (16, 12)
        assert np.abs(np.asarray(shown).astype(int) - small).max() <= 3
