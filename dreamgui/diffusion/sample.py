"""Generation: a readable denoising loop over UNet and sampler.

It equals diffusers' StableDiffusionPipeline and StableDiffusionControlNetPipeline to the last bit, as
tests/test_parity.py shows. Classifier-free guidance: Ho and Salimans 2022, https://arxiv.org/abs/2207.12598.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from dreamgui.config import SchedulerName
from dreamgui.diffusion.control.residuals import ControlInput
from dreamgui.diffusion.noise_model import NoiseModel, noise_model, prompt_parts
from dreamgui.diffusion.samplers import make_sampler
from dreamgui.diffusion.start import Beginning, StartImage, from_noise, from_picture, noise_of, seeded
from dreamgui.diffusion.transfer import begin_fetching
from dreamgui.errors import OutOfRange
from dreamgui.models.device import free_bytes
from dreamgui.models.replay import Replays
from dreamgui.ops.channels_last import channels_last

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts

PICTURE_BYTES = 600_000_000
"""What drawing or encoding a picture of 512 x 512 needs beside the model, in half precision, generously."""

CPU_PICTURES = 7
"""Pictures in a batch on the CPU, at most: with guidance 14 latents, whose convolutions were seen to give a lone
picture's bits; those of 16 did not."""


@dataclass(frozen=True)
class ImageRequest:
    """One picture to generate.

    Its width and height are multiples of 8; None is the base model's own size. It begins with noise, or with a picture.
    """

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    steps: int = 25
    guidance_scale: float = 5.0
    scheduler: SchedulerName = "dpm++"
    width_px: int | None = None
    height_px: int | None = None
    start: StartImage | None = None
    word_weights: bool = False


class Step(NamedTuple):
    """A denoising step: ``done`` of ``total``, and the latents [n, 4, h, w] of the requests at these indices."""

    done: int
    total: int
    indices: tuple[int, ...]
    latents: Tensor


@torch.no_grad()
def denoise(
    model: NoiseModel,
    sampler: Any,
    beginning: Beginning,
    guidance_scale: float,
    generators: Sequence[torch.Generator] = (),
) -> Iterator[Tensor]:
    """Yield the latents [n, 4, h, w] after each step, from noise to picture.

    With a guidance scale above 1 the model is asked about ``[2n, 4, h, w]``: first half without the prompt. Samplers
    that add noise at each step take it from the generators, one a picture.
    """
    latents, kept, timesteps = beginning.latents, beginning.kept, beginning.timesteps
    given = {"generator": list(generators)} if "generator" in signature(sampler.step).parameters else {}
    for number, timestep in enumerate(timesteps, 1):
        doubled = torch.cat([latents, latents]) if guidance_scale > 1 else latents
        noise = model(sampler.scale_model_input(doubled, timestep), timestep)
        if guidance_scale > 1:
            unconditional, conditional = noise.chunk(2)
            noise = unconditional + guidance_scale * (conditional - unconditional)
        latents = sampler.step(noise, timestep, latents, **given, return_dict=False)[0]
        if kept is not None:
            latents = kept.put_back(latents, sampler, timesteps[number] if number < len(timesteps) else None)
        yield latents


def generate(
    parts: Parts, requests: Sequence[ImageRequest], control: Sequence[ControlInput] = ()
) -> list[Image.Image]:
    """Generate pictures, in the order asked for.

    On the CPU a picture is bitwise the same alone and in a batch. On a GPU a batch may round differently.

    Raises:
        OutOfRange: a width or height isn't a multiple of 8.
    """
    steps = generation_steps(parts, requests, control)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@torch.no_grad()
def generation_steps(
    parts: Parts, requests: Sequence[ImageRequest], control: Sequence[ControlInput] = ()
) -> Generator[Step, None, list[Image.Image]]:
    """Like :func:`generate`, but yields after each step, so that a recipe can be stopped and can show a preview."""
    images: dict[int, Image.Image] = {}
    decoding: tuple[list[int], Callable[[], list[Image.Image]]] = [], list
    batches = list(_batches(parts, requests))
    done, total = 0, sum(requests[batch[0]].steps for batch in batches)
    for batch in batches:
        chosen = [requests[index] for index in batch]
        width, height = _size(parts, chosen[0])
        texts = [request.prompt for request in chosen]
        if chosen[0].guidance_scale > 1:
            texts = [*(request.negative_prompt for request in chosen), *texts]
        sampler = make_sampler(chosen[0].scheduler, parts.scheduler_config)
        sampler.set_timesteps(chosen[0].steps, device=parts.device)
        generators = seeded([request.seed for request in chosen])
        beginning = _beginning(parts, chosen[0], sampler, generators, width, height)
        count = len(beginning.timesteps)
        weights = chosen[0].word_weights
        model = noise_model(parts, texts, len(chosen), control, (width, height), count, weights)
        latents = beginning.latents
        for number, cleaner in enumerate(
            denoise(model, sampler, beginning, chosen[0].guidance_scale, generators), 1
        ):
            latents = cleaner
            yield Step(done + min(number, chosen[0].steps), total, tuple(batch), latents)
        done += chosen[0].steps
        before, decoding = decoding, (batch, begin_decoding(parts.vae, latents, parts.replays))
        images.update(zip(before[0], before[1](), strict=True))
    images.update(zip(decoding[0], decoding[1](), strict=True))
    return [images[index] for index in range(len(requests))]


def decode(vae: Any, latents: Tensor, replays: Replays | None = None) -> list[Image.Image]:
    """Pictures from latents [n, 4, h, w] as the UNet knows them (scaled). With ``replays`` a CUDA graph computes them."""
    return begin_decoding(vae, latents, replays)()


@torch.no_grad()
def begin_decoding(
    vae: Any, latents: Tensor, replays: Replays | None = None
) -> Callable[[], list[Image.Image]]:
    """Like :func:`decode`, but return what waits for the pictures: a GPU decodes them while the next batch begins."""
    scaled = latents.to(vae.dtype) / vae.config.scaling_factor

    def decoded(given: Tensor) -> Tensor:
        with channels_last(given.device):
            pixels = vae.decode(given, return_dict=False)[0]
        return ((pixels * 0.5 + 0.5).clamp(0, 1).float() * 255).round().to(torch.uint8).permute(0, 2, 3, 1)

    # On the CPU one by one, as convolutions of a batch round differently.
    parts = scaled.split(1) if latents.device.type == "cpu" else [scaled]
    call = decoded if replays is None else partial(replays.call, ("vae", vae), decoded)
    waits = [begin_fetching(call(part).contiguous()) for part in parts]
    return lambda: [Image.fromarray(each) for wait in waits for each in wait().numpy()]


def pictures_at_once(device: torch.device, width_px: int, height_px: int) -> int:
    """Return how many pictures to generate in one batch. Small ones gain from it on a CPU too: half the time in tens."""
    at_512 = 1 if device.type == "cpu" else 8
    if device.type == "cuda":
        at_512 = max(1, min(at_512, free_bytes(device) // PICTURE_BYTES))
    return max(1, min(16, at_512 * 512 * 512 // (width_px * height_px)))


def _beginning(
    parts: Parts,
    request: ImageRequest,
    sampler: Any,
    generators: Sequence[torch.Generator],
    width: int,
    height: int,
) -> Beginning:
    factor = _vae_factor(parts)
    shape = (len(generators), 4, height // factor, width // factor)
    if request.start is not None:
        like = torch.empty(shape, device=parts.device, dtype=parts.text_encoder.dtype)
        return from_picture(parts.vae, sampler, request.start, generators, like, request.steps)
    noise = noise_of(generators, *shape[2:])
    return from_noise(sampler, noise.to(parts.device, parts.text_encoder.dtype))


def _batches(parts: Parts, requests: Sequence[ImageRequest]) -> Iterator[list[int]]:
    """Indices of requests that can be generated together: all but prompts of one length and seed are equal."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for index, request in enumerate(requests):
        weights, texts = request.word_weights, (request.prompt, request.negative_prompt)
        length = max(prompt_parts(parts, text, weights) for text in texts)
        settings = (request.steps, request.guidance_scale, request.scheduler, weights)
        key = (_size(parts, request), settings, length, id(request.start))
        alike.setdefault(key, []).append(index)
    for indices in alike.values():
        room = _room(parts, requests[indices[0]])
        yield from (indices[start : start + room] for start in range(0, len(indices), room))


def _room(parts: Parts, request: ImageRequest) -> int:
    """Pictures like this one in a batch. On the CPU they are so few that their convolutions have a lone picture's kernels."""
    room = pictures_at_once(parts.device, *_size(parts, request))
    if parts.device.type != "cpu":
        return room
    return min(room, CPU_PICTURES) if request.guidance_scale > 1 else 1


def _size(parts: Parts, request: ImageRequest) -> tuple[int, int]:
    width = request.width_px or parts.card.size_px
    height = request.height_px or parts.card.size_px
    factor = _vae_factor(parts)
    if width % factor or height % factor:
        raise OutOfRange(
            f"A picture of {width}x{height} pixels can't be generated.",
            f"Choose multiples of {factor} for both sides.",
        )
    return width, height


def _vae_factor(parts: Parts) -> int:
    """Pixels a latent stands for, along one side."""
    vae: Any = parts.vae
    return 2 ** (len(vae.config.block_out_channels) - 1)
