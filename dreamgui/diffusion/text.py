"""Prompts become the embeddings that lead the UNet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from dreamgui.diffusion.word_weights import shown
from dreamgui.models.replay import Replays

_FOREIGN_SYNTAX = (
    (
        re.compile(r"\([^()]*:\s*[+-]?\d*\.?\d+\s*\)"),
        "is read as plain words. Switch on weights of words where pictures are generated.",
    ),
    (
        re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>", re.IGNORECASE),
        "is read as plain words and loads no LoRA. Choose the LoRA as the model, its strength in the settings.",
    ),
    (
        re.compile(r"(?:^|\s)--?[a-zA-Z]\w*(?:[ =]-?\d[\w.:]*)?(?=\s|$)"),
        "is read as plain words, as options don't belong into the prompt. Set them in the settings.",
    ),
)
"""Syntax of other programs, and what becomes of it here."""


@torch.no_grad()
def encode_prompts(text_encoder: Any, tokenizer: Any, prompts: Iterable[str]) -> dict[str, Tensor]:
    """The embedding [1, 77, d] of each different prompt, in the text encoder's dtype.

    Each is encoded by itself, so that it doesn't depend on its neighbours. What is over 77 tokens is cut off, as in
    a training; :func:`encode_whole` keeps it.
    """
    embeddings = {}
    for prompt in dict.fromkeys(prompts):
        embeddings[prompt] = text_encoder(tokenize(tokenizer, prompt).to(text_encoder.device))[0]
    return embeddings


@torch.no_grad()
def encode_whole(
    text_encoder: Any, tokenizer: Any, prompt: str, parts: int, replays: Replays | None = None
) -> Tensor:
    """The embedding [1, 77 * parts, d] of a prompt of any length, in the text encoder's dtype.

    Each part has its own begin and end token, as in A1111 and its followers. Parts that the prompt doesn't fill are
    those of an empty prompt. On a GPU ``replays`` compute it by a CUDA graph.
    """
    tokens = torch.cat([_part(tokenizer, prompt, number) for number in range(parts)])
    ids = [each[None].to(text_encoder.device) for each in tokens]

    def encoded(given: Tensor) -> Tensor:
        return text_encoder(given)[0]

    if replays is None:
        return torch.cat([encoded(each) for each in ids], dim=1)
    return torch.cat([replays.call(("text", text_encoder), encoded, each) for each in ids], dim=1)


def part_count(tokenizer: Any, prompt: str) -> int:
    """Return how many parts of 75 tokens a prompt needs, at least 1."""
    if prompt.isascii() and len(prompt) <= _room(tokenizer):
        # A token stands for at least one of these characters.
        return 1
    return max(1, -(-len(_token_ids(tokenizer, prompt)) // _room(tokenizer)))


def tokenize(tokenizer: Any, prompt: str) -> Tensor:
    """The tokens [1, 77] of a prompt, filled up or cut off."""
    length = tokenizer.model_max_length
    return tokenizer(
        prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids


def _part(tokenizer: Any, prompt: str, number: int) -> Tensor:
    """The tokens [1, 77] of a prompt's part. Number 0 is the first one."""
    first = number * _room(tokenizer)
    ids = _token_ids(tokenizer, prompt)[first : first + _room(tokenizer)]
    filled = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    filled += [tokenizer.pad_token_id] * (tokenizer.model_max_length - len(filled))
    return torch.tensor([filled])


def _token_ids(tokenizer: Any, prompt: str) -> list[int]:
    return tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids


def _room(tokenizer: Any) -> int:
    """Tokens of a part, without its begin and end."""
    return tokenizer.model_max_length - 2


def cut_off(tokenizer: Any, prompt: str) -> str:
    """The end of a prompt that doesn't fit into CLIP's 77 tokens and is ignored, or "" where all fits."""
    return tokenizer.decode(_token_ids(tokenizer, prompt)[_room(tokenizer) :]).strip()


def prompt_notes(tokenizer: Any, prompts: Iterable[str], trained: bool = False) -> list[str]:
    """Sentences for the user about prompts of which something isn't read as it was meant.

    Args:
        tokenizer: CLIP's.
        prompts: those of pictures, negative prompts too; each is looked at once.
        trained: whether pictures are trained with them; what is over 77 tokens is then ignored.

    Returns:
        At most one sentence a prompt for its length, and one for each kind of syntax of other programs in it.
    """
    sentences = []
    for prompt in dict.fromkeys(prompts):
        if rest := cut_off(tokenizer, prompt):
            limit, parts = tokenizer.model_max_length, part_count(tokenizer, prompt)
            told = (
                f"its end is ignored: {rest!r}"
                if trained
                else f"it is read in {parts} parts, the first without {rest!r}"
            )
            sentences.append(f"The prompt {shown(prompt)} has over {limit} tokens; {told}.")
        for pattern, told in _FOREIGN_SYNTAX:
            if found := pattern.search(prompt):
                sentences.append(f"The prompt {shown(prompt)}: {found[0].strip()!r} {told}")
    return sentences
