"""Drawing: a readable denoising loop over UNet and sampler.

It equals diffusers' StableDiffusionPipeline and StableDiffusionControlNetPipeline to the last bit, as
tests/test_parity.py shows. Classifier-free guidance: Ho and Salimans 2022, https://arxiv.org/abs/2207.12598.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dreamgui.config import SchedulerName
from dreamgui.diffusion.channels_last import channels_last
from dreamgui.diffusion.replay import Replay
from dreamgui.diffusion.schedule import make_sampler
from dreamgui.diffusion.text import encode_prompts
from dreamgui.errors import OutOfRange
from dreamgui.models.device import free_bytes

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts

NoiseModel = Callable[[Tensor, Tensor], Tensor]
"""Predicts the noise [n, 4, h, w] in latents [n, 4, h, w] at a timestep."""


PICTURE_BYTES = 600_000_000
"""What drawing or encoding a picture of 512 x 512 needs beside the model, in half precision, generously."""


@dataclass(frozen=True)
class Draw:
    """One picture to draw. Its width and height are multiples of 8; None is the base model's own size."""

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    steps: int = 25
    guidance_scale: float = 5.0
    scheduler: SchedulerName = "dpm++"
    width_px: int | None = None
    height_px: int | None = None


@dataclass(frozen=True)
class ControlInput:
    """The map that leads a drawing (edges or a skeleton, any size), and its strength (1 is as trained)."""

    image: Image.Image
    scale: float = 1.0


@torch.no_grad()
def denoise(model: NoiseModel, sampler: Any, latents: Tensor, guidance_scale: float) -> Iterator[Tensor]:
    """Yield the latents [n, 4, h, w] after each step, from noise to picture.

    With a guidance scale above 1 the model is asked about ``[2n, 4, h, w]``: first half without the prompt.
    """
    for timestep in sampler.timesteps:
        doubled = torch.cat([latents, latents]) if guidance_scale > 1 else latents
        noise = model(sampler.scale_model_input(doubled, timestep), timestep)
        if guidance_scale > 1:
            unconditional, conditional = noise.chunk(2)
            noise = unconditional + guidance_scale * (conditional - unconditional)
        latents = sampler.step(noise, timestep, latents, return_dict=False)[0]
        yield latents


def seeded_noise(seeds: Sequence[int], height: int, width: int, channels: int = 4) -> Tensor:
    """Noise [n, channels, height, width] in fp32; each picture's comes from its own generator on the CPU.

    So a picture starts from the same noise on every device, alone or in a batch.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.cat([torch.randn(1, channels, height, width, generator=each) for each in generators])


def draw(parts: Parts, requests: Sequence[Draw], control: ControlInput | None = None) -> list[Image.Image]:
    """Draw pictures, in the order asked for.

    Raises:
        OutOfRange: a width or height isn't a multiple of 8.
    """
    steps = draw_steps(parts, requests, control)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@torch.no_grad()
def draw_steps(
    parts: Parts, requests: Sequence[Draw], control: ControlInput | None = None
) -> Generator[tuple[int, int], None, list[Image.Image]]:
    """Like :func:`draw`, but yields ``(done, total)`` after each step, so that a recipe can be stopped."""
    images: dict[int, Image.Image] = {}
    batches = list(_batches(parts, requests))
    done, total = 0, sum(requests[batch[0]].steps for batch in batches)
    for batch in batches:
        chosen = [requests[index] for index in batch]
        width, height = _size(parts, chosen[0])
        model = _noise_model(parts, chosen, control, width, height)
        sampler = make_sampler(chosen[0].scheduler, parts.scheduler_config)
        sampler.set_timesteps(chosen[0].steps, device=parts.device)
        factor = _vae_factor(parts)
        noise = seeded_noise([request.seed for request in chosen], height // factor, width // factor)
        latents = noise.to(parts.device, parts.text_encoder.dtype) * sampler.init_noise_sigma
        for number, cleaner in enumerate(denoise(model, sampler, latents, chosen[0].guidance_scale), 1):
            latents = cleaner
            yield done + min(number, chosen[0].steps), total
        done += chosen[0].steps
        images.update(zip(batch, decode(parts.vae, latents), strict=True))
    return [images[index] for index in range(len(requests))]


@torch.no_grad()
def decode(vae: Any, latents: Tensor) -> list[Image.Image]:
    """Pictures from latents [n, 4, h, w] as the UNet knows them (scaled)."""
    with channels_last(latents.device):
        pixels = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0]
    levels = ((pixels * 0.5 + 0.5).clamp(0, 1).float() * 255).round().to(torch.uint8)
    return [Image.fromarray(each) for each in levels.permute(0, 2, 3, 1).cpu().numpy()]


def pictures_at_once(device: torch.device, width_px: int, height_px: int) -> int:
    """How many pictures to draw in one batch. Small ones gain from it on a CPU too: half the time in tens."""
    at_512 = 1 if device.type == "cpu" else 8
    if device.type == "cuda":
        at_512 = max(1, min(at_512, free_bytes(device) // PICTURE_BYTES))
    return max(1, min(16, at_512 * 512 * 512 // (width_px * height_px)))


def compute_format(unet: Any, dtype: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to ``dtype`` where the UNet's weights have another format, as they do while it is trained."""
    if all(parameter.dtype == dtype for parameter in unet.parameters()):
        return nullcontext()
    # Each weight is cast once a pass; kept casts would only outlive what gradient checkpointing lets go.
    return torch.autocast(device.type, dtype, cache_enabled=False)


def _batches(parts: Parts, requests: Sequence[Draw]) -> Iterator[list[int]]:
    """Indices of requests that can be drawn together: all but prompt and seed are equal."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for index, request in enumerate(requests):
        key = (_size(parts, request), request.steps, request.guidance_scale, request.scheduler)
        alike.setdefault(key, []).append(index)
    for indices in alike.values():
        room = pictures_at_once(parts.device, *_size(parts, requests[indices[0]]))
        yield from (indices[start : start + room] for start in range(0, len(indices), room))


def _noise_model(
    parts: Parts, requests: Sequence[Draw], control: ControlInput | None, width_px: int, height_px: int
) -> NoiseModel:
    """UNet and ControlNet with prompts and map filled in."""
    guided = requests[0].guidance_scale > 1
    texts = [request.prompt for request in requests]
    if guided:
        texts = [*(request.negative_prompt for request in requests), *texts]
    embeddings = encode_prompts(parts.text_encoder, parts.tokenizer, texts)
    text = torch.cat([embeddings[each] for each in texts]).to(parts.dtype)
    hint = (
        _hint(parts, control.image, width_px, height_px).expand(len(texts), -1, -1, -1) if control else None
    )

    unet = _unet(parts)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        given = latents.to(parts.dtype)
        if control is None or parts.controlnet is None:
            return unet(given, timestep, text).to(latents.dtype)
        with compute_format(parts.unet, parts.dtype, parts.device), channels_last(parts.device):
            down, middle = parts.controlnet(
                given,
                timestep,
                text,
                controlnet_cond=hint,
                conditioning_scale=control.scale,
                return_dict=False,
            )
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            noise = parts.unet(given, timestep, text, **residuals, return_dict=False)[0]
        return noise.to(latents.dtype)

    return predict


def _unet(parts: Parts) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The UNet's prediction for latents, timestep and text; while its weights stay in place, by one CUDA graph."""

    def predict(given: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        with compute_format(parts.unet, parts.dtype, parts.device), channels_last(parts.device):
            return parts.unet(given, timestep, text, return_dict=False)[0]

    if not parts.steady:
        return predict
    parts.replay = parts.replay or Replay(predict, parts.device)
    return parts.replay


def _hint(parts: Parts, image: Image.Image, width_px: int, height_px: int) -> Tensor:
    """A map as [1, 3, height, width], 0..1."""
    image = image.convert("RGB").resize((width_px, height_px), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(image).astype(np.float32) / 255)
    return pixels.permute(2, 0, 1)[None].to(parts.device, parts.dtype)


def _size(parts: Parts, request: Draw) -> tuple[int, int]:
    width = request.width_px or parts.card.size_px
    height = request.height_px or parts.card.size_px
    factor = _vae_factor(parts)
    if width % factor or height % factor:
        raise OutOfRange(
            f"A picture of {width}x{height} pixels can't be drawn.",
            f"Choose multiples of {factor} for both sides.",
        )
    return width, height


def _vae_factor(parts: Parts) -> int:
    """Pixels a latent stands for, along one side."""
    vae: Any = parts.vae
    return 2 ** (len(vae.config.block_out_channels) - 1)
