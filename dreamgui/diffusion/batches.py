"""Which pictures, noise and timesteps a training step sees: a pure function of seed and step.

So a run that goes on after a break sees what it would have seen, and runs of one seed can be compared: there
is no state of a generator that could be lost.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dreamgui.diffusion.latents import EncodedPictures


@dataclass(frozen=True)
class Batch:
    """What one step learns from, on the device.

    Attributes:
        latents, noise: [n, 4, h, w] in fp32; instance pictures first, then as many class pictures or none.
        timesteps: [n].
        text: [n, 77, d].
        instances: how many of n are instance pictures.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    text: Tensor
    instances: int


def make_batch(
    step: int,
    instance: EncodedPictures,
    prior: EncodedPictures | None,
    batch_size: int,
    seed: int,
    timestep_count: int = 1000,
) -> Batch:
    """The batch of a step (from 1): ``batch_size`` instance pictures, with a prior as many class pictures.

    Every picture is seen once before one is seen again. All chance comes from the CPU, so that each device
    gets the same.
    """
    sources = [("instance", instance)] + ([("class", prior)] if prior else [])
    chance = _generator(seed, "noise", step)
    shape = (len(sources) * batch_size, *instance.mean.shape[1:])
    spread = torch.randn(shape, generator=chance).to(instance.mean.device)
    noise = torch.randn(shape, generator=chance).to(instance.mean.device)
    timesteps = torch.randint(0, timestep_count, shape[:1], generator=chance).to(instance.mean.device)
    chosen = [_turn(name, len(pictures), step, batch_size, seed) for name, pictures in sources]
    pairs = [(pictures, which) for (_, pictures), which in zip(sources, chosen, strict=True)]
    latents = [
        pictures.latents(which, part)
        for (pictures, which), part in zip(pairs, spread.split(batch_size), strict=True)
    ]
    text = [pictures.embeddings(which) for pictures, which in pairs]
    return Batch(torch.cat(latents), noise, timesteps, torch.cat(text), batch_size)


def _turn(name: str, count: int, step: int, batch_size: int, seed: int) -> Tensor:
    """Indices [batch_size] of the pictures whose turn it is."""
    first = (step - 1) * batch_size
    turns = range(first, first + batch_size)
    return torch.stack([_order(name, count, turn // count, seed)[turn % count] for turn in turns])


@lru_cache(maxsize=8)
def _order(name: str, count: int, epoch: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=_generator(seed, name, epoch))


def _generator(seed: int, purpose: str, number: int) -> torch.Generator:
    """A generator for one purpose; torch seeds from 32 bits only, so they are mixed first."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {purpose} {number}".encode()))
