"""Names become harmless folder names, and stay what they are."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamgui.errors import BadInput
from dreamgui.names import MAX_BYTES, MAX_LETTERS, ascii_name, name_notes, safe_name


@pytest.mark.parametrize(
    "wanted, name",
    [
        ("anna", "anna"),
        ("../../x", "x"),
        ("Zo\u00eb & Ann", "Zo\u00eb-Ann"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("\u0410\u043d\u043d\u0430", "\u0410\u043d\u043d\u0430"),
        ("\u674e", "\u674e"),
        ("a\0b", "a-b"),
        (" . a", "a"),
        ("a\u202eb", "a-b"),
        ("a\U0001f600", "a"),
        ("name.", "name"),
    ],
)
def test_wanted_names_become_safe(wanted: str, name: str) -> None:
    assert safe_name(wanted) == name


@pytest.mark.parametrize("wanted", ["", "..", "CON", "nul.txt", "\U0001f600", "///"])
def test_hopeless_names_are_refused(wanted: str) -> None:
    with pytest.raises(BadInput):
        safe_name(wanted)


def test_long_names_with_one_beginning_stay_apart() -> None:
    names = {safe_name("x" * 300), safe_name("x" * 299 + "y"), safe_name("x" * 80)}
    assert len(names) == 3


@given(st.text(max_size=200), st.sampled_from(["", "-2", "-lora-kohya"]))
def test_a_safe_name_is_harmless_and_comes_back_as_it_is(wanted: str, ending: str) -> None:
    try:
        name = safe_name(wanted, ending)
    except BadInput:
        return
    assert safe_name(name) == name == unicodedata.normalize("NFC", name)
    assert name.endswith(ending) and len(name) <= MAX_LETTERS and len(name.encode()) <= MAX_BYTES
    assert not set(name) & set('<>:"/\\|?*\0') and name[0] not in ".-" and name[-1] not in ". "
    assert ascii_name(name).isascii()


def test_another_name_is_said() -> None:
    assert name_notes("Zoe\u0308", "Zo\u00eb") == [] and name_notes("", "lora-r8") == []
    assert name_notes("a", "a-2") == ["It is called a-2: 'a' is taken."]
    assert name_notes("a b", "a-b") == ["It is called a-b: 'a b' can't be a folder's name."]
    assert name_notes("a b", "a-b-2") == [
        "It is called a-b-2: 'a b' can't be a folder's name, and a-b is taken."
    ]
