"""The token that will stand for a person: how CLIP reads it, what it means already, and rarer ones.

CLIP's byte pairs are numbered in the order in which they were merged, the most frequent first (Radford et al.
2021, https://arxiv.org/abs/2103.00020; Sennrich et al. 2016, https://arxiv.org/abs/1508.07909), so the number
is a rank of rarity. DreamBooth advises a rare token of one to three characters without a meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch

_END = "</w>"
# Letters and their ends of words, which come before the first merged pair.
_FIRST_PAIR = 512
_SPECIAL = 2
# Three or four letters without a vowel are seldom a word.
_RARE = re.compile(r"[bcdfghjklmnpqrstvwxz]{3,4}</w>")
# Abbreviations with a meaning of their own on the pages that CLIP was trained on.
_KNOWN = {
    "bpd", "bts", "ccd", "cfl", "cmdr", "ddc", "dds", "dbz", "dprk", "fbs", "fck", "ftw", "grl", "hgtv",
    "hmv", "html", "http", "httr", "jpg", "lgbt", "lpg", "mds", "mgmt", "mls", "mph", "mtv", "nbc", "nfl",
    "nhl", "nrg", "nrl", "nsfw", "pbs", "pgs", "pkg", "png", "psst", "rsvp", "rps", "ssh", "stg", "szn",
    "tbt", "thx", "tmz", "tnt", "vhs", "vlc", "wwdc", "wwf", "xml", "xxl", "xxx",
}  # fmt: skip


@dataclass(frozen=True)
class TokenReport:
    """Reading of a text by the tokenizer.

    Attributes:
        ids, pieces: CLIP's tokens.
        single: whether it is one token, as it should be.
        rarity: 0 to 1, the rarest piece's place among all byte pairs; "woman" has 0.04, "sks" 0.97.
        neighbours: words whose embeddings are nearest, with their cosine; what it means already.
        suggestions: rarer single tokens without a vowel, the rarest first.
    """

    text: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    single: bool
    rarity: float
    neighbours: tuple[tuple[str, float], ...] = ()
    suggestions: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """The report for a reader."""
        plain = ", ".join(f"{piece} ({number})" for piece, number in zip(self.pieces, self.ids, strict=True))
        told = [f"{self.text!r} is {'one token' if self.single else f'{len(self.ids)} tokens'}: {plain}."]
        if self.single:
            told.append(f"It is rarer than {self.rarity:.0%} of CLIP's tokens.")
        else:
            told.append("Choose a single token: each piece of a longer one brings its own meaning.")
        if self.neighbours:
            words = ", ".join(f"{word} {cosine:.2f}" for word, cosine in self.neighbours)
            told.append(f"Nearest words to its embedding: {words}.")
        if self.suggestions:
            told.append(f"Rarer single tokens: {', '.join(self.suggestions)}.")
        return told


def token_report(token: str, tokenizer: Any, text_encoder: Any | None = None, count: int = 8) -> TokenReport:
    """Return how CLIP reads a token, and ``count`` rarer ones.

    Args:
        text_encoder: tells, where given, what the token's embedding lies near to.
    """
    pieces = tuple(tokenizer.tokenize(token))
    ids = tuple(int(number) for number in tokenizer.convert_tokens_to_ids(list(pieces)))
    last = len(tokenizer) - _SPECIAL - 1
    rarest = max(ids, default=0)
    single = len(ids) == 1
    return TokenReport(
        text=token,
        ids=ids,
        pieces=tuple(piece.removesuffix(_END) for piece in pieces),
        single=single,
        rarity=max(0.0, (rarest - _FIRST_PAIR) / (last - _FIRST_PAIR)),
        neighbours=_neighbours(ids[0], tokenizer, text_encoder)
        if single and text_encoder is not None
        else (),
        suggestions=suggest(tokenizer, rarest if single else 0, count),
    )


def suggest(tokenizer: Any, rarer_than: int, count: int = 8) -> tuple[str, ...]:
    """Single tokens that are read as one and rarer than this token number, the rarest first.

    Where fewer than ``count`` are rarer, the rarest of the others follow.
    """
    rare = sorted(
        (
            (number, piece.removesuffix(_END))
            for piece, number in tokenizer.get_vocab().items()
            if _RARE.fullmatch(piece)
        ),
        reverse=True,
    )
    words = [
        (number, word)
        for number, word in rare
        if word not in _KNOWN and tokenizer.tokenize(word) == [word + _END]
    ]
    rarer = [word for number, word in words if number > rarer_than]
    return tuple((rarer or [word for _, word in words])[:count])


@torch.no_grad()
def _neighbours(
    number: int, tokenizer: Any, text_encoder: Any, count: int = 5
) -> tuple[tuple[str, float], ...]:
    """The whole words of the Latin alphabet whose embeddings have the largest cosine with this token's."""
    table = text_encoder.get_input_embeddings().weight.float()
    cosines = torch.nn.functional.cosine_similarity(table, table[number][None])
    words = {
        index: piece.removesuffix(_END)
        for piece, index in tokenizer.get_vocab().items()
        if re.fullmatch(r"[a-z]{2,}</w>", piece) and index != number
    }
    order = cosines.argsort(descending=True).tolist()
    nearest = [index for index in order if index in words][:count]
    return tuple((words[index], round(float(cosines[index]), 3)) for index in nearest)
