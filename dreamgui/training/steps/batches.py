"""Pictures, noise and timesteps of a training step: a pure function of seed and step.

So a run that goes on after a break sees what it would have seen, and runs of one seed can be compared: there
is no state of a generator that could be lost.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from dreamgui.diffusion.latents import EncodedPictures
from dreamgui.diffusion.transfer import send


@dataclass(frozen=True)
class Batch:
    """Data of one training step, on the device.

    Attributes:
        latents, noise: [n, 4, h, w] in fp32; instance pictures first, then as many class pictures or none.
        timesteps: [n].
        text: [n, 77, d].
        instances: how many of n are instance pictures.
        tokens: [n, 77], for a text encoder that is trained.
        weight: of each latent in the loss, [n, 1, h, w]; None weighs all alike.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    text: Tensor
    instances: int
    tokens: Tensor | None = None
    weight: Tensor | None = None

    def split(self, count: int) -> list[Batch]:
        """Equal parts, each with its share of instance and of class pictures.

        The mean of the parts' losses is the loss of the whole, so that small batches that are added up, or
        processes that share the work, train as one large batch does.
        """
        if count == 1:
            return [self]
        each, classes = self.instances // count, (len(self.latents) - self.instances) // count
        return [self._part(part * each, each, part * classes, classes) for part in range(count)]

    def _part(self, instance: int, instances: int, other: int, classes: int) -> Batch:
        def cut(value: Tensor) -> Tensor:
            first = self.instances + other
            return torch.cat([value[instance : instance + instances], value[first : first + classes]])

        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: cut(value) for name, value in values.items() if isinstance(value, Tensor)}
        return Batch(**{**values, **tensors, "instances": instances})


def make_batch(
    step: int,
    instance: EncodedPictures,
    prior: EncodedPictures | None,
    batch_size: int,
    seed: int,
    timestep_count: int,
    offset_noise: float = 0.0,
) -> Batch:
    """The batch of a step (from 1): ``batch_size`` instance pictures, with a prior as many class pictures.

    Every picture is seen once before one is seen again. All chance comes from the CPU, so that each device
    gets the same.

    Args:
        timestep_count: of the base's noise schedule; timesteps lie in 0..timestep_count-1.
        offset_noise: strength of the noise that moves a whole channel at once, by Nicholas Guttenberg 2023,
            https://www.crosslabs.org/blog/diffusion-with-offset-noise.
    """
    sources = [("instance", instance)] + ([("class", prior)] if prior else [])
    device = instance.mean.device
    chance = _generator(seed, "noise", step)
    shape = (len(sources) * batch_size, *instance.mean.shape[1:])
    spread = send(torch.randn(shape, generator=chance), device)
    noise = torch.randn(shape, generator=chance)
    timesteps = send(torch.randint(0, timestep_count, shape[:1], generator=chance), device)
    if offset_noise:
        noise += offset_noise * torch.randn(*shape[:2], 1, 1, generator=chance)
    chosen = [_turn(name, len(pictures), step, batch_size, seed) for name, pictures in sources]
    pairs = [(pictures, which) for (_, pictures), which in zip(sources, chosen, strict=True)]
    return _gathered(pairs, spread, send(noise, device), timesteps, batch_size)


def validation_batches(
    pictures: EncodedPictures, timestep_count: int, times: int = 4, size: int = 8
) -> list[Batch]:
    """Held-out pictures with noise that never changes, each at ``times`` timesteps in equal distances.

    So two looks at them differ only by the weights.
    """
    chance = _generator(0, "validation", len(pictures))
    which = torch.arange(len(pictures)).repeat_interleave(times)
    parts = torch.arange(times).repeat(len(pictures))
    timesteps = ((parts + 0.5) * timestep_count / times).long()
    noise = torch.randn(len(which), *pictures.mean.shape[1:], generator=chance)
    spread = torch.randn(noise.shape, generator=chance)
    device = pictures.mean.device
    return [
        _gathered([(pictures, one)], send(s, device), send(n, device), send(t, device), len(one))
        for one, s, n, t in zip(
            *(each.split(size) for each in (which, spread, noise, timesteps)), strict=True
        )
    ]


def _gathered(
    pairs: Sequence[tuple[EncodedPictures, Tensor]],
    spread: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    instances: int,
) -> Batch:
    """The chosen pictures of each source, one after the other."""
    latents = [
        pictures.latents(which, part)
        for (pictures, which), part in zip(pairs, spread.split(instances), strict=True)
    ]
    text = torch.cat([pictures.embeddings(which) for pictures, which in pairs])
    tokens = [words for pictures, which in pairs if (words := pictures.words(which)) is not None]
    weight = [_weight(pictures, which) for pictures, which in pairs]
    weighed = any(pictures.weight is not None for pictures, _ in pairs)
    return Batch(
        torch.cat(latents),
        noise,
        timesteps,
        text,
        instances,
        torch.cat(tokens) if len(tokens) == len(pairs) else None,
        torch.cat(weight) if weighed else None,
    )


def _weight(pictures: EncodedPictures, which: Tensor) -> Tensor:
    if pictures.weight is None:
        return torch.ones(len(which), 1, *pictures.mean.shape[2:], device=pictures.mean.device)
    return pictures.weight[send(which, pictures.weight.device)]


def _turn(name: str, count: int, step: int, batch_size: int, seed: int) -> Tensor:
    """Indices [batch_size] of the pictures whose turn it is."""
    first = (step - 1) * batch_size
    turns = range(first, first + batch_size)
    return torch.stack([_order(name, count, turn // count, seed)[turn % count] for turn in turns])


@lru_cache(maxsize=8)
def _order(name: str, count: int, epoch: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=_generator(seed, name, epoch))


def _generator(seed: int, purpose: str, number: int) -> torch.Generator:
    """A generator for one purpose. Torch seeds from 32 bits only, so they are mixed first."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {purpose} {number}".encode()))
