"""Words of an instance prompt: its token, its class, and the person's words."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Tokens that guides and papers of DreamBooth advise.
_RARE = _words("sks ohwx zwx xjy olis shs bnha rcpt zzz xyz sdk vtn hta ukj")
_CLASSES = _words(
    "woman man girl boy person lady gentleman guy child kid baby toddler teenager female male human dog cat"
)
_PARTS = _words("face head")
# Words that stand before a class without naming anybody.
_COMMON = _words(
    "a an the one this that my his her of and with in on young old older elderly little small big tall beautiful "
    "pretty handsome cute happy smiling middle-aged adult human woman's man's"
)


def class_of(prompt: str) -> str | None:
    """Return an instance prompt without its token: "a photo of sks woman" gives "a photo of woman".

    None where there is no token (:func:`_token_place`), or no class behind it. A name of several words is one token.
    """
    words, place = prompt.split(), _token_place(prompt)
    if place is None or place + 1 == len(words) or re.search(r"[.,:;!?]$", words[place]):
        return None
    return " ".join(words[: _name_begins(words, place)] + words[place + 1 :])


def person_of(prompt: str) -> str:
    """Return an instance prompt's words for the person: "a photo of sks woman face" gives "sks woman face".

    They are the token and the words after it, to the next punctuation. Without a token they begin with the class noun;
    without that they are the whole prompt.
    """
    place = _token_place(prompt)
    if place is None:
        nouns = [number for number, word in enumerate(_bare(prompt)) if word in _CLASSES | _PARTS]
        place = nouns[0] if nouns else 0
    words = prompt.split()
    return re.split(r"[.,:;!?](?:\s|$)", " ".join(words[_name_begins(words, place) :]))[0]


def _name_begins(words: list[str], place: int) -> int:
    """Return the place of a name's first word, whose last one is at a place: "a photo of Anton Ray man" has "Anton"."""
    begin = place
    while begin > 1 and all(_is_of_a_name(word) for word in words[begin - 1 : begin + 1]):
        begin -= 1
    return begin


def _is_of_a_name(word: str) -> bool:
    return word[:1].isupper() and word.isalpha() and word.lower() not in _COMMON | _CLASSES


def _token_place(prompt: str) -> int | None:
    """The number of a prompt's word that is the token: a known rare one, else the one before the first class noun
    ("woman", else "face"), or None where there is none."""
    bare = _bare(prompt)
    place = next((n for n, word in enumerate(bare) if word in _RARE), None)
    if place is None:
        nouns = [n for kind in (_CLASSES, _PARTS) for n, word in enumerate(bare) if word in kind]
        place = nouns[0] - 1 if nouns else -1
        if place < 0 or bare[place] in _COMMON or not bare[place]:
            return None
    return place


def classes_in(text: str) -> frozenset[str]:
    """Return the class nouns in a text ("woman", "man"...)."""
    return _CLASSES.intersection(_bare(text))


def _bare(text: str) -> list[str]:
    """The words without punctuation, in lower case."""
    return [word.strip(".,:;!?\"'()").lower() for word in text.split()]
