"""The last line of A1111's text: "Name: value" pairs with commas between them.

A value that holds a comma, a colon or a line's end is a JSON string; "Hashes" and civitai's names are JSON as it is
(https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#png-info, ``infotext_utils.py`` there).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_NAME = re.compile(r"\s*([^\W\d_][\w \-/+().]{0,60}?)\s{0,9}:\s*")
_TO_QUOTE = re.compile(r'[,:\n\r"]|^\s|\s$|^[\[{]')
_AFTER = re.compile(r"\s*(?:,|$)")
_DECODER = json.JSONDecoder()
_LEAST_PAIRS = 3
_MOST_PIECES = 1000
"""Python's JSON errors count the lines of the whole text: each costs as much as the text is long."""
_USUAL = {"Steps", "Sampler", "CFG scale", "Seed", "Size"}


def written(pairs: Mapping[str, str]) -> str:
    """Return the line of these pairs, in their order. Those with an empty value are left out."""
    return ", ".join(f"{name}: {_quoted(value)}" for name, value in pairs.items() if value)


def pairs_of(line: str) -> tuple[dict[str, str], list[str]]:
    """Return a line's pairs by name, and the pieces that are none.

    A value that was JSON without quotes, an object or a list, stays as it was written. The first of two pairs of one
    name counts; the second is among the pieces.
    What stands behind the thousandth piece is one piece.
    """
    pairs: dict[str, str] = {}
    others: list[str] = []
    place, number = 0, 0
    while place < len(line):
        number += 1
        if number > _MOST_PIECES:
            others.append(line[place:])
            break
        name = _NAME.match(line, place)
        value, end = _value(line, name.end()) if name else _piece(line, place)
        if name and name[1] not in pairs:
            pairs[name[1]] = value
        elif piece := line[place:end].strip():
            others.append(piece)
        place = end + 1
    return pairs, others


def is_parameter_line(line: str) -> bool:
    """Return whether a line is one of pairs: it holds three or more, one of them of a name that all programs write."""
    pairs, _ = pairs_of(line)
    return len(pairs) >= _LEAST_PAIRS and not _USUAL.isdisjoint(pairs)


def _value(line: str, start: int) -> tuple[str, int]:
    """The value that begins at a place of the line, and the place of the comma behind it or of the line's end."""
    if line[start : start + 1] in {'"', "{", "["}:
        try:
            value, end = _DECODER.raw_decode(line, start)
        except (ValueError, RecursionError):
            pass
        else:
            if after := _AFTER.match(line, end):
                text = value if isinstance(value, str) else line[start:end]
                return text, after.end() - after[0].count(",")
    return _piece(line, start)


def _piece(line: str, start: int) -> tuple[str, int]:
    end = line.find(",", start)
    end = len(line) if end < 0 else end
    return line[start:end].strip(), end


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if _TO_QUOTE.search(value) else value
