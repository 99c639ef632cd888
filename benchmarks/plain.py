"""A training loop that does per step what the common DreamBooth scripts do: what ours is measured against.

Each step opens the pictures, encodes them with the VAE and the prompts with the text encoder, learns with
foreach AdamW after a separate clip, and asks for the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from dreamgui.models.loading import Parts

PRIOR_WEIGHT, MAX_NORM = 1.0, 1.0


class PlainLoop:
    """Trains what requires a gradient in ``parts.unet``."""

    def __init__(self, parts: Parts, size_px: int, learning_rate: float = 1e-4) -> None:
        self.parts = parts
        self.size_px = size_px
        self.noise_scheduler: Any = DDPMScheduler.from_config(parts.scheduler_config)
        self.weights = [weight for weight in parts.unet.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=learning_rate, weight_decay=1e-2, foreach=True)

    def step(self, instance: Sequence[Path], prior: Sequence[Path], prompts: tuple[str, str]) -> float:
        """One step on these pictures; the loss."""
        device = self.parts.device
        pixels = torch.stack([self._open(path) for path in (*instance, *prior)]).to(device)
        with torch.no_grad():
            vae: Any = self.parts.vae
            latents = vae.encode(pixels.to(vae.dtype)).latent_dist.sample() * vae.config.scaling_factor
            texts = [prompts[0]] * len(instance) + [prompts[1]] * len(prior)
            text = self.parts.text_encoder(self._tokens(texts).to(device))[0]
        noise = torch.randn_like(latents, dtype=torch.float32)
        count: int = self.noise_scheduler.config["num_train_timesteps"]
        timesteps = torch.randint(0, count, (len(latents),), device=device)
        return self.train_on(latents.float(), noise, timesteps, text.float(), len(instance))[0]

    def train_on(
        self, latents: Tensor, noise: Tensor, timesteps: Tensor, text: Tensor, instances: int
    ) -> tuple[float, float, float]:
        """Forward, backward, clip, optimizer; (whole loss, instance loss, gradient norm)."""
        noisy = self.noise_scheduler.add_noise(latents, noise, timesteps)
        dtype = self.parts.dtype
        with torch.autocast(latents.device.type, dtype, enabled=dtype != torch.float32):
            prediction = self.parts.unet(noisy, timesteps, text).sample
        instance = F.mse_loss(prediction[:instances].float(), noise[:instances])
        loss = instance
        if instances < len(latents):
            loss = instance + PRIOR_WEIGHT * F.mse_loss(prediction[instances:].float(), noise[instances:])
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.weights, MAX_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item(), instance.item(), norm.item()

    def _open(self, path: Path) -> Tensor:
        image = (
            Image.open(path).convert("RGB").resize((self.size_px, self.size_px), Image.Resampling.BILINEAR)
        )
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1

    def _tokens(self, prompts: list[str]) -> Tensor:
        tokenizer = self.parts.tokenizer
        length = tokenizer.model_max_length
        return tokenizer(
            prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
