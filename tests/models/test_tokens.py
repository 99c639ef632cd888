"""Tokens as CLIP reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamgui.assets import asset
from dreamgui.models.loading import load_text_encoder, load_tokenizer
from dreamgui.models.tokens import suggest, token_report


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return load_tokenizer(asset("sd15"))


def test_a_single_token_and_a_pieced_one(tokenizer: object) -> None:
    sks = token_report("sks", tokenizer)
    assert (sks.ids, sks.pieces, sks.single) == ((48136,), ("sks",), True)
    assert 0.97 < sks.rarity < 0.98 and token_report("woman", tokenizer).rarity < 0.05
    anna = token_report("anna-1", tokenizer)
    assert anna.pieces == ("anna", "-", "1") and not anna.single
    assert "3 tokens" in anna.sentences[0] and "single token" in anna.sentences[1]


def test_suggestions_are_rarer_single_tokens(tokenizer: object) -> None:
    report = token_report("sks", tokenizer)
    assert len(report.suggestions) == 8 and "ssh" not in report.suggestions
    for word in report.suggestions:
        found = token_report(word, tokenizer)
        assert found.single and found.rarity > report.rarity
    rarest = report.suggestions[0]
    assert suggest(tokenizer, token_report(rarest, tokenizer).ids[0], 3)[0] == rarest, "nothing is rarer"


def test_neighbours_in_the_embedding(tokenizer: object, tiny_folder: Path) -> None:
    encoder = load_text_encoder(tiny_folder, torch.device("cpu"), torch.float32)
    report = token_report("sks", tokenizer, encoder)
    words = [word for word, _ in report.neighbours]
    cosines = [cosine for _, cosine in report.neighbours]
    assert len(words) == 5 and "sks" not in words and cosines == sorted(cosines, reverse=True)
    assert token_report("anna-1", tokenizer, encoder).neighbours == ()
