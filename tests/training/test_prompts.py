from __future__ import annotations

import pytest

from dreamgui.diffusion.person_words import class_of, person_of


@pytest.mark.parametrize(
    ("prompt", "without"),
    [
        ("a photo of sks woman face", "a photo of woman face"),
        ("a photo of ohwx man face", "a photo of man face"),
        ("a photo of anna woman", "a photo of woman"),
        ("a portrait of anna woman", "a portrait of woman"),
        ("a photo of anna face", "a photo of face"),
        ("a photo of Anton Ray man face", "a photo of man face"),
        ("OHWX man, studio light", "man, studio light"),
        ("a photo of zwx toy", "a photo of toy"),
        ("фото ohwx женщины", "фото женщины"),
        ("photo of sks", None),
        ("a photo of sks, smiling", None),
        ("a photo of a woman", None),
        ("a photo of young woman", None),
        ("portrait of the boss", None),
        ("", None),
    ],
)
def test_the_class_is_the_prompt_without_the_token(prompt: str, without: str | None) -> None:
    assert class_of(prompt) == without


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a photo of sks woman face", "sks woman face"),
        ("a photo of ohwx man, smiling", "ohwx man"),
        ("portrait of anna woman. film grain", "anna woman"),
        ("a photo of Anton Ray man face", "Anton Ray man face"),
        ("a red bicycle", "a red bicycle"),
        ("a photo of woman face", "woman face"),
    ],
)
def test_the_person_s_words_follow_from_the_instance_prompt(prompt: str, words: str) -> None:
    assert person_of(prompt) == words
