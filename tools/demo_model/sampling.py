"""Pictures from the model while it trains: DPM-Solver++ with classifier-free guidance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from architecture import LATENT_CHANNELS, LATENT_PX, SCALING_FACTOR, TOKENS, new_scheduler
from common import as_bytes
from diffusers import AutoencoderKL, ControlNetModel, DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer


@dataclass
class Model:
    """The parts that draw, all on one device and in one precision."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    tokenizer: CLIPTokenizer

    @property
    def device(self) -> torch.device:
        return self.unet.device

    def embed(self, prompts: list[str]) -> Tensor:
        """``[n, 77, width]``."""
        numbers = self.tokenizer(prompts, padding="max_length", max_length=TOKENS, truncation=True)[
            "input_ids"
        ]
        return self.text_encoder(torch.tensor(numbers, device=self.device))[0]


@torch.no_grad()
def sample(
    model: Model,
    prompts: list[str],
    seed: int,
    steps: int = 20,
    guidance: float = 5.0,
    control: tuple[ControlNetModel, Tensor] | None = None,
) -> np.ndarray:
    """uint8 ``[n, 160, 160, 3]``, one a prompt.

    Args:
        control: a ControlNet and its maps ``[n, 3, 160, 160]`` in 0 to 1.
    """
    scheduler = DPMSolverMultistepScheduler.from_config(new_scheduler().config)
    scheduler.set_timesteps(steps, device=model.device)
    texts = torch.cat([model.embed([""] * len(prompts)), model.embed(prompts)])
    shape = (len(prompts), LATENT_CHANNELS, LATENT_PX, LATENT_PX)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(model.device)
    for step in scheduler.timesteps:
        pair = scheduler.scale_model_input(torch.cat([latents, latents]), step).to(texts.dtype)
        extra = {}
        if control is not None:
            network, maps = control
            down, middle = network(
                pair, step, texts, torch.cat([maps, maps]).to(texts.dtype), return_dict=False
            )
            extra = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        without, with_text = model.unet(pair, step, texts, **extra).sample.float().chunk(2)
        latents = scheduler.step(without + guidance * (with_text - without), step, latents).prev_sample
    return as_bytes(model.vae.decode((latents / SCALING_FACTOR).to(model.vae.dtype)).sample)
