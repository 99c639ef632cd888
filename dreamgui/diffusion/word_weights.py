"""Weights of words in a prompt, written as A1111 and its followers write them. The module needs no torch.

(word)       1.1 times the weight
((word))     1.1 x 1.1
(word:1.3)   1.3 times
[word]       the weight divided by 1.1
\\( \\) \\[ \\]  the characters themselves
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_STEP = 1.1
_GREATEST = 4.0
_SHOWN_CHARACTERS = 40
_NO_NUMBER = re.compile(
    r":\s*(?![+-]?\d*\.?\d+\s*\))(?:(?=[^)]*\d)[\d.,eE+-]+|[+-]?nan|[+-]?inf)\s*\)", re.IGNORECASE
)
_PIECE = re.compile(r"\\[\\()\[\]]|:\s*([+-]?\d*\.?\d+)\s*\)|[()\[\]]|[^\\()\[\]:]+|.", re.DOTALL)


class Fragment(NamedTuple):
    """Some words of a prompt, and their weight: 1 is usual, 0 to 4."""

    text: str
    weight: float


def fragments_of(prompt: str) -> list[Fragment]:
    """Split a prompt into words of one weight each. A bracket that isn't closed weighs its words up to the end."""
    found: list[list[Any]] = []
    opened: list[tuple[str, int]] = []
    for piece in _PIECE.finditer(prompt):
        text, weight = piece[0], piece[1]
        if text in ("(", "["):
            opened.append((text, len(found)))
        elif weight and opened and opened[-1][0] == "(":
            _weigh(found[opened.pop()[1] :], float(weight))
        elif text == ")" and opened and opened[-1][0] == "(":
            _weigh(found[opened.pop()[1] :], _STEP)
        elif text == "]" and opened and opened[-1][0] == "[":
            _weigh(found[opened.pop()[1] :], 1 / _STEP)
        else:
            found.append([text[1:] if text[0] == "\\" and len(text) == 2 else text, 1.0])
    for bracket, first in opened:
        _weigh(found[first:], _STEP if bracket == "(" else 1 / _STEP)
    return _joined(found)


def plain_text(prompt: str) -> str:
    """Return a prompt's words without their weights."""
    return "".join(fragment.text for fragment in fragments_of(prompt))


def weight_notes(prompt: str) -> list[str]:
    """Return sentences for the user about brackets and weights that aren't read as they were meant."""
    opened: list[str] = []
    told = [f"{found[0]!r} is no weight and is read as words" for found in _NO_NUMBER.finditer(prompt)]
    for piece in _PIECE.finditer(prompt):
        text, weight = piece[0], piece[1]
        if weight and opened[-1:] == ["("] and not 0 <= float(weight) <= _GREATEST:
            told.append(
                f"{text!r} is read as {min(max(float(weight), 0), _GREATEST):g}, as weights are 0 to 4"
            )
        if text in ("(", "["):
            opened.append(text)
        elif (text == "]" or text[-1] == ")") and text[0] != "\\":
            if opened[-1:] == ["[" if text == "]" else "("]:
                opened.pop()
            else:
                told.append(f"{text!r} closes no bracket and is read as words")
    told += [f"{bracket!r} isn't closed and weighs all that follows" for bracket in dict.fromkeys(opened)]
    return [f"The prompt {shown(prompt)}: {each}." for each in told]


def shown(prompt: str) -> str:
    """Return a prompt in quotation marks for a sentence, cut off where it is long."""
    return repr(prompt if len(prompt) <= _SHOWN_CHARACTERS else prompt[:_SHOWN_CHARACTERS] + "...")


def weighted_part_count(tokenizer: Any, prompt: str) -> int:
    """Return how many parts of 75 tokens a prompt with weights needs, at least 1."""
    tokens = sum(
        len(tokenizer(fragment.text, add_special_tokens=False, verbose=False).input_ids)
        for fragment in fragments_of(prompt)
    )
    return max(1, -(-tokens // (tokenizer.model_max_length - 2)))


def _weigh(fragments: list[list[Any]], weight: float) -> None:
    for fragment in fragments:
        fragment[1] *= weight


def _joined(found: list[list[Any]]) -> list[Fragment]:
    """Join neighbours of one weight. Weights are 0 to 4, those of blanks 1."""
    joined: list[Fragment] = []
    for text, weight in found:
        weight = min(max(weight, 0.0), _GREATEST) if text.strip() else 1.0
        if joined and joined[-1].weight == weight:
            joined[-1] = Fragment(joined[-1].text + text, weight)
        else:
            joined.append(Fragment(text, weight))
    return joined
