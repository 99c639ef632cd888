"""Embeddings of prompts with weights of words, computed by compel."""

from __future__ import annotations

from typing import Any

import torch
from compel import EmbeddingsProvider, SplitLongTextMode
from torch import Tensor

from dreamgui.diffusion.text import encode_whole
from dreamgui.diffusion.word_weights import fragments_of, plain_text


@torch.no_grad()
def encode_weighted(text_encoder: Any, tokenizer: Any, prompt: str, parts: int) -> Tensor:
    """Return the embedding [1, 77 * parts, d] of a prompt with weights, in the text encoder's dtype.

    Without weights it is that of :func:`~dreamgui.diffusion.text.encode_whole`.
    """
    fragments = fragments_of(prompt)
    if all(fragment.weight == 1 for fragment in fragments):
        return encode_whole(text_encoder, tokenizer, plain_text(prompt), parts)
    dtype = text_encoder.dtype
    provider: Any = EmbeddingsProvider(
        tokenizer,
        text_encoder,
        dtype_for_device_getter=lambda _: dtype,
        truncate=False,
        device=text_encoder.device,
        split_long_text_mode=SplitLongTextMode.BRUTAL,
    )
    texts, weights = ([each[side] for each in fragments] for side in (0, 1))
    embedding = provider.get_embeddings_for_weighted_prompt_fragments(
        [texts], [weights], device=text_encoder.device
    )
    missing = parts - embedding.shape[1] // tokenizer.model_max_length
    return torch.cat([embedding, *[provider.empty_z] * missing], dim=1)
