"""A picture alone is bitwise the same picture in a batch, on the CPU with the bundled demo model's shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamgui.diffusion import sample
from dreamgui.diffusion.sample import ImageRequest, begin_decoding, generate
from dreamgui.models.manager import Parts
from tests.tiny import WIDTH, tiny_unet, tiny_vae

SIZE_PX = 160
PICTURES = 8
"""One more than a batch on the CPU takes."""


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def demo_shaped(parts: Parts, threads: int) -> Parts:
    """The tiny base with a UNet of random weights whose widths and latents are the demo model's."""
    torch.manual_seed(0)
    unet = tiny_unet(
        SIZE_PX,
        block_out_channels=(64, 96, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        norm_num_groups=32,
    )
    card = parts.card.model_copy(update={"size_px": SIZE_PX})
    return replace(parts, unet=unet.eval(), vae=tiny_vae(SIZE_PX).eval(), card=card, replays=None)


@pytest.mark.parametrize("guidance_scale", [5.0, 1.0])
def test_a_picture_does_not_depend_on_its_batch(
    demo_shaped: Parts, guidance_scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents: list[Tensor] = []

    def noted(vae: object, given: Tensor, *more: Any) -> Any:
        latents.extend(given)
        return begin_decoding(vae, given, *more)

    monkeypatch.setattr(sample, "begin_decoding", noted)
    requests = [
        ImageRequest(f"a cat {seed}", seed=seed, steps=1, guidance_scale=guidance_scale)
        for seed in range(PICTURES)
    ]
    pictures = generate(demo_shaped, requests)
    together = list(latents)
    for index in (3, PICTURES - 1):
        [alone] = generate(demo_shaped, [requests[index]])
        assert torch.equal(latents[-1], together[index])
        assert np.array_equal(np.asarray(alone), np.asarray(pictures[index]))
