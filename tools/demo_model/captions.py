"""The captions as token numbers, and which words train."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from architecture import TOKENS, load_tokenizer
from common import Ranks
from pictures import share
from prepare import ANY_NAME_TOKEN
from torch import Tensor
from world import HELD_BACK, NAMES


class Captions:
    """This process's share of the captions, and three kinds of words.

    ``trained`` ``[vocabulary]`` says which words train: those of the captions, without the names. ``names``
    are the numbers of the names; ``rare`` those of short words that no caption has, which may stand for
    anybody. The words that are held back for the user's own person are in neither.
    """

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        whole = np.load(folder / "tokens.npy", mmap_mode="r")
        mine = np.array(whole[share(len(whole), ranks)]).astype(np.int32)
        self.tokens = torch.from_numpy(mine).to(ranks.device)
        self.tokenizer = load_tokenizer()
        self.numbers = self.tokenizer.get_vocab()
        empty = self.tokenizer("", padding="max_length", max_length=TOKENS)["input_ids"]
        self._empty = torch.tensor(empty, dtype=torch.int32, device=ranks.device)
        self.names = self._words(NAMES)
        self.held_back = self._words(name for name in HELD_BACK if f"{name}</w>" in self.numbers)
        seen = torch.zeros(ANY_NAME_TOKEN + 1, dtype=torch.bool, device=ranks.device)
        for piece in self.tokens.split(8192):
            seen[piece.long().unique()] = True
        seen[self.names] = False
        self.trained = ranks.any(seen)[:ANY_NAME_TOKEN]
        self.rare = self._short_words()
        self.rare = self.rare[~self.trained[self.rare]]
        ranks.say(
            f"{int(self.trained.sum())} words train, {len(self.names)} names, {len(self.rare)} rare words"
        )

    def _words(self, wanted: Iterable[str]) -> Tensor:
        numbers = [self.numbers[f"{word}</w>"] for word in wanted]
        return torch.tensor(numbers, device=self.tokens.device)

    def _short_words(self) -> Tensor:
        """The numbers of all short words that are neither names nor held back."""
        taken = {f"{word}</w>" for word in (*NAMES, *HELD_BACK)}
        short = [word for word in self.numbers if re.fullmatch(r"[a-z]{3,5}</w>", word) and word not in taken]
        return torch.tensor([self.numbers[word] for word in short], device=self.tokens.device)

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, index: Tensor, empty_share: float, strangers: bool = False) -> Tensor:
        """Token numbers ``[n, 77]`` of one caption in four of each picture, ``empty_share`` of them empty.

        A different rare word fills each place that is left open for any name; for ``strangers`` it stays open.
        """
        count, device = len(index), index.device
        chosen = self.tokens[index, torch.randint(self.tokens.shape[1], (count,), device=device)]
        anybody = self.rare[torch.randint(len(self.rare), (count, 1), device=device)].int()
        filled = chosen if strangers else torch.where(chosen == ANY_NAME_TOKEN, anybody, chosen)
        return torch.where(torch.rand(count, 1, device=device) < empty_share, self._empty, filled)

    def lengths(self, table: Tensor) -> dict[str, float]:
        """Lengths of the vectors of some words, and means over trained words, names and rare ones."""
        length = table.detach().float().norm(dim=1)
        shown = ("woman", "man", "photo", *HELD_BACK[:1])
        words = {word: length[self.numbers[f"{word}</w>"]] for word in shown}
        groups = {"trained": self.trained, "names": self.names, "rare": self.rare}
        words |= {f"mean of {name}": length[which].mean() for name, which in groups.items()}
        return {name: round(float(value), 3) for name, value in words.items()}
