"""The UNet, and a ControlNet beside it, with prompts and map filled in: latents and timestep give the noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dreamgui.diffusion.control.residuals import ControlInput, Guide, Guides, residuals
from dreamgui.diffusion.text import encode_whole, part_count
from dreamgui.diffusion.weighted_text import encode_weighted
from dreamgui.diffusion.word_weights import weighted_part_count
from dreamgui.ops.channels_last import channels_last
from dreamgui.ops.timestep_rows import picture_by_picture

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts

NoiseModel = Callable[[Tensor, Tensor], Tensor]
"""Predicts the noise [n, 4, h, w] in latents [n, 4, h, w] at a timestep."""


def compute_format(unet: Any, dtype: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to ``dtype`` where the UNet's weights have another format, as they do while it is trained."""
    if all(parameter.dtype == dtype for parameter in unet.parameters()):
        return nullcontext()
    # Each weight is cast once a pass; kept casts would only outlive what gradient checkpointing lets go.
    return torch.autocast(device.type, dtype, cache_enabled=False)


def noise_model(
    parts: Parts,
    texts: Sequence[str],
    pictures: int,
    control: Sequence[ControlInput],
    size_px: tuple[int, int],
    steps: int,
    word_weights: bool = False,
) -> NoiseModel:
    """Return the model with everything but latents and timestep filled in. Each step asks it once, in order.

    Args:
        texts: a prompt for each of the latents that it will be asked about: with guidance the negative prompts first.
        pictures: how many pictures that are.
        control: a map for each ControlNet of ``parts``.
        size_px: width and height of the pictures.
        steps: how many denoising steps will ask it.
        word_weights: whether brackets in the texts are weights of words.
    """
    text = _embeddings(parts, texts, word_weights).to(parts.dtype)
    guides = Guides(parts, control, len(texts), pictures, size_px, steps)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        with picture_by_picture(parts.device, pictures):
            return _noise(parts, guides.next(), latents.to(parts.dtype), timestep, text).to(latents.dtype)

    return predict


def _noise(parts: Parts, guides: Sequence[Guide], given: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
    """The UNet's prediction. While its weights stay in place a CUDA graph computes it, with the ControlNets' passes."""
    unet, dtype, device = parts.unet, parts.dtype, parts.device
    kinds = [(guide.net, guide.guess) for guide in guides]

    def function(given: Tensor, timestep: Tensor, text: Tensor, *controls: Any) -> Tensor:
        with compute_format(unet, dtype, device), channels_last(device):
            at_work = [
                Guide(net, features, scale, guess)
                for (net, guess), features, scale in zip(kinds, controls[::2], controls[1::2], strict=True)
            ]
            added = residuals(at_work, given, timestep, text) if at_work else {}
            return unet(given, timestep, text, **added, return_dict=False)[0]

    inputs = given, timestep, text, *(each for guide in guides for each in (guide.features, guide.scale))
    if parts.replays is None:
        return function(*inputs)
    key = ("unet", unet, *(part for kind in kinds for part in kind))
    return parts.replays.call(key, function, *inputs)


def _embeddings(parts: Parts, texts: Sequence[str], word_weights: bool) -> Tensor:
    """Embeddings [n, 77 * k, d] of texts. The factor k is the number of parts of the longest."""
    count = max(prompt_parts(parts, text, word_weights) for text in texts)
    encoder: Any = parts.text_encoder
    if word_weights:
        known = {
            text: encode_weighted(encoder, parts.tokenizer, text, count) for text in dict.fromkeys(texts)
        }
    else:
        known = {
            text: encode_whole(encoder, parts.tokenizer, text, count, parts.replays)
            for text in dict.fromkeys(texts)
        }
    return torch.cat([known[text] for text in texts])


def prompt_parts(parts: Parts, text: str, word_weights: bool) -> int:
    """Return how many parts of 75 tokens a prompt needs, at least 1."""
    return (weighted_part_count if word_weights else part_count)(parts.tokenizer, text)
