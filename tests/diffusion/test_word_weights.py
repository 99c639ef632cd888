"""Weights of words in a prompt, as A1111's documentation describes them."""

from __future__ import annotations

import pytest
import torch

from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.diffusion.text import encode_whole
from dreamgui.diffusion.weighted_text import encode_weighted
from dreamgui.diffusion.word_weights import fragments_of, plain_text, weight_notes, weighted_part_count
from dreamgui.models.manager import Parts


@pytest.mark.parametrize(
    ("prompt", "fragments"),
    [
        ("a cat", [("a cat", 1)]),
        ("", []),
        ("a (cat) here", [("a ", 1), ("cat", 1.1), (" here", 1)]),
        ("((cat))", [("cat", 1.21)]),
        ("(cat:1.5)", [("cat", 1.5)]),
        ("(cat: .5 ), dog", [("cat", 0.5), (", dog", 1)]),
        ("[cat]", [("cat", 1 / 1.1)]),
        ("(a [cat])", [("a ", 1.1), ("cat", 1)]),
        ("(a (big:1.5) cat:2)", [("a ", 2), ("big", 3), (" cat", 2)]),
        (r"a \(cat\)", [("a (cat)", 1)]),
        ("a (cat", [("a ", 1), ("cat", 1.1)]),
        ("a cat)", [("a cat)", 1)]),
        ("a [cat:1.5] at 10:30", [("a ", 1), ("cat:1.5", 1 / 1.1), (" at 10:30", 1)]),
        ("(cat:9)", [("cat", 4)]),
        ("(cat:-1)", [("cat", 0)]),
    ],
)
def test_brackets_are_read_as_documented(prompt: str, fragments: list[tuple[str, float]]) -> None:
    found = fragments_of(prompt)
    assert [fragment.text for fragment in found] == [text for text, _ in fragments]
    assert [fragment.weight for fragment in found] == pytest.approx([weight for _, weight in fragments])
    assert plain_text(prompt) == "".join(text for text, _ in fragments)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a (cat:1.3) in [the] (wood)", []),
        (r"a \(cat\) at 10:30 :)", ["')' closes no bracket"]),
        ("a cat :-)", ["')' closes no bracket"]),
        ("a (cat:999999)", ["':999999)' is read as 4"]),
        ("a (cat:-1)", ["':-1)' is read as 0"]),
        ("a (cat:nan)", ["':nan)' is no weight"]),
        ("a (cat:1,5)", ["':1,5)' is no weight"]),
        ("a (cat:1.2.3)", ["':1.2.3)' is no weight"]),
        ("a ((cat)", ["'(' isn't closed"]),
        ("a [cat", ["'[' isn't closed"]),
        ("a cat]", ["']' closes no bracket"]),
        ("a (big [cat) here", ["')' closes no bracket", "'(' isn't closed", "'[' isn't closed"]),
    ],
)
def test_brackets_that_are_not_read_as_meant_are_told(prompt: str, told: list[str]) -> None:
    notes = weight_notes(prompt)
    assert len(notes) == len(told), notes
    assert all(part in note for note, part in zip(notes, told, strict=True))


def encoded(parts: Parts, prompt: str, count: int = 1) -> torch.Tensor:
    return encode_weighted(parts.text_encoder, parts.tokenizer, prompt, count)


def whole(parts: Parts, prompt: str, count: int = 1) -> torch.Tensor:
    return encode_whole(parts.text_encoder, parts.tokenizer, prompt, count)


def test_a_prompt_without_weights_is_bitwise_the_plain_one(parts: Parts) -> None:
    assert torch.equal(encoded(parts, "a photo of a woman"), whole(parts, "a photo of a woman"))
    assert torch.equal(encoded(parts, "a (woman:1)"), whole(parts, "a woman"))


def test_a_weight_moves_the_words_embedding_away_from_the_empty_prompts(parts: Parts) -> None:
    empty, plain = whole(parts, ""), whole(parts, "a photo of a woman")
    weighted = encoded(parts, "a photo of a (woman:1.5)")
    word = parts.tokenizer("a photo of a woman").input_ids.index(
        parts.tokenizer("woman", add_special_tokens=False).input_ids[0]
    )
    wanted = empty[0, word] + 1.5 * (plain[0, word] - empty[0, word])
    torch.testing.assert_close(weighted[0, word], wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weighted[0, word - 1], plain[0, word - 1], rtol=1e-4, atol=1e-5)


def test_a_weight_of_0_leaves_less_of_the_word_than_one_of_a_half(parts: Parts) -> None:
    plain = whole(parts, "a photo of a woman")
    moved = [float((encoded(parts, f"a photo of a (woman:{w})") - plain).norm()) for w in (0.9, 0.5, 0.1)]
    assert 0 < moved[0] < moved[1] < moved[2]


def test_a_long_prompt_is_cut_where_the_plain_one_is(parts: Parts) -> None:
    prompt = "woman " * 100
    assert weighted_part_count(parts.tokenizer, f"({prompt}:1.2)") == 2
    plain, weighted = whole(parts, prompt, 3), encoded(parts, f"({prompt}:1.000001)", 3)
    assert plain.shape == weighted.shape
    torch.testing.assert_close(weighted, plain, rtol=1e-3, atol=1e-4)


def test_pictures_with_and_without_weights_do_not_meet_in_a_batch(parts: Parts) -> None:
    prompt = "a photo of a (woman:1.6)"
    plain, weighted = (
        ImageRequest(prompt, negative_prompt="[dark]", seed=3, steps=2, word_weights=on)
        for on in (False, True)
    )
    together = [image.tobytes() for image in generate(parts, [plain, weighted])]
    alone = [generate(parts, [each])[0].tobytes() for each in (plain, weighted)]
    assert together == alone
    assert alone[0] != alone[1]
