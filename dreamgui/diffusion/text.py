"""Prompts become the embeddings that lead the UNet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def encode_prompts(text_encoder: Any, tokenizer: Any, prompts: Iterable[str]) -> dict[str, Tensor]:
    """The embedding [1, 77, d] of each different prompt, in the text encoder's number format.

    Each is encoded by itself, so that it doesn't depend on its neighbours. What is over 77 tokens is cut off;
    :func:`cut_off` says what.
    """
    embeddings = {}
    for prompt in dict.fromkeys(prompts):
        embeddings[prompt] = text_encoder(tokenize(tokenizer, prompt).to(text_encoder.device))[0]
    return embeddings


def tokenize(tokenizer: Any, prompt: str) -> Tensor:
    """The tokens [1, 77] of a prompt, filled up or cut off."""
    length = tokenizer.model_max_length
    return tokenizer(
        prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids


def cut_off(tokenizer: Any, prompt: str) -> str:
    """The end of a prompt that doesn't fit into CLIP's 77 tokens and is ignored; empty where all fits."""
    tokens = tokenizer(prompt, add_special_tokens=False).input_ids
    room = tokenizer.model_max_length - 2
    return tokenizer.decode(tokens[room:]).strip()


def cut_off_notes(tokenizer: Any, prompts: Iterable[str]) -> list[str]:
    """A sentence for the user about each prompt that is too long."""
    sentences = []
    for prompt in dict.fromkeys(prompts):
        if rest := cut_off(tokenizer, prompt):
            limit = tokenizer.model_max_length
            sentences.append(
                f"The prompt {prompt[:40]!r}... has over {limit} tokens; its end is ignored: {rest!r}."
            )
    return sentences
