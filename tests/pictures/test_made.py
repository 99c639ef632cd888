"""The text that other programs read: written by us, read by a parser of its grammar, and theirs read by us."""

from __future__ import annotations

import json
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamgui.config import SAMPLER_NAMES, SchedulerName
from dreamgui.pictures.made import Made, parameters
from dreamgui.pictures.parsed import parsed

MADE = Made(
    prompt="a photo of sks woman, smiling",
    negative_prompt="blurry, low quality",
    steps=25,
    sampler="dpm++karras",
    guidance_scale=5.5,
    seed=42,
    size_px=(512, 768),
    model="portraits",
    model_hash="0123456789",
    loras=(("her-lora", "abcdef012345", 0.8), ("light", "", -0.5)),
    more={"Denoising strength": "0.5"},
)


def by_the_grammar(text: str) -> tuple[str, str, dict[str, str]]:
    """A1111's and civitai's way: last line by a pattern of pairs, the rest by the words "Negative prompt:"."""
    *lines, last = text.strip().split("\n")
    pairs = re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', last)
    prompt, negative, done = "", "", False
    for line in lines:
        if line.strip().startswith("Negative prompt:"):
            done, line = True, line.strip()[16:].strip()
        if done:
            negative += ("\n" if negative else "") + line
        else:
            prompt += ("\n" if prompt else "") + line
    return prompt, negative, {name: json.loads(value) if value[:1] == '"' else value for name, value in pairs}


def test_other_programs_read_ours() -> None:
    prompt, negative, pairs = by_the_grammar(parameters(MADE))
    assert prompt == "a photo of sks woman, smiling <lora:her-lora:0.8> <lora:light:-0.5>"
    assert negative == "blurry, low quality"
    assert pairs == {
        "Steps": "25", "Sampler": "DPM++ 2M Karras", "CFG scale": "5.5", "Seed": "42", "Size": "512x768",
        "Model hash": "0123456789", "Model": "portraits", "Denoising strength": "0.5",
        "Lora hashes": "her-lora: abcdef012345", "Version": pairs["Version"],
    }  # fmt: skip


def test_ours_is_read_back() -> None:
    assert parsed(parameters(MADE)) == (MADE, [])


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<>")).map(str.strip)


@given(
    st.lists(WORDS, min_size=1, max_size=4).map("\n".join).map(str.strip),
    WORDS,
    st.sampled_from(get_args(SchedulerName)),
    st.integers(0, 2**31 - 1),
    st.from_regex(r"[^\x00-\x1f<>]{1,30}", fullmatch=True).map(str.strip),
)
def test_any_text_is_read_back(prompt: str, negative: str, sampler: str, seed: int, model: str) -> None:
    prompt = re.sub(r" {2,}", " ", prompt)
    if "Negative prompt:" in prompt or "\x85" in prompt + negative + model:
        return
    made = Made(prompt, negative, 20, sampler, 7.0, seed, (64, 64), model.strip('" '))
    assert parsed(parameters(made))[0] == made


@pytest.mark.parametrize(
    ("sampler", "ours"),
    [
        ("Sampler: DPM++ 2M Karras", "dpm++karras"),
        ("Sampler: DPM++ 2M, Schedule type: Karras", "dpm++karras"),
        ("Sampler: DPM++ 2M, Schedule type: Automatic", "dpm++karras"),
        ("Sampler: DPM++ 2M", "dpm++"),
        ("Sampler: Euler a, Schedule type: Automatic", "euler-a"),
        ("Sampler: PLMS", "pndm"),
        ("Sampler: DPM++ 2M, Schedule type: Exponential", ""),
        ("Sampler: Heun", ""),
    ],
)
def test_samplers_of_older_and_newer_versions(sampler: str, ours: str) -> None:
    made, remarks = parsed(f"a cat\nSteps: 20, {sampler}, CFG scale: 7, Seed: 5, Size: 512x512")
    assert (made.sampler, made.steps, made.seed) == (ours, 20, 5)
    assert bool(remarks) == (not ours)


def test_a_picture_of_a1111() -> None:
    text = (
        "masterpiece, (smile:1.2), <lora:add_detail:0.6> a castle\nSteps: none of this is a pair\n"
        "Negative prompt: bad hands,\nugly: yes\n"
        "Steps: 30, Sampler: Euler a, CFG scale: 7, Seed: 1234567890, Size: 640x448, Model hash: 4c86efd062, "
        'Model: sd_v1-5, ControlNet 0: "Module: canny, Model: control_canny [abc], Weight: 1", '
        'Lora hashes: "add_detail: 7c6bad76eb54", TI hashes: "easynegative: c74b4e810b03", Version: v1.6.0'
    )
    made, remarks = parsed(text)
    assert made.prompt == "masterpiece, (smile:1.2), a castle\nSteps: none of this is a pair"
    assert made.negative_prompt == "bad hands,\nugly: yes"
    assert made.size_px == (640, 448) and made.model_hash == "4c86efd062" and not remarks
    assert made.loras == (("add_detail", "7c6bad76eb54", 0.6),)
    assert made.more["ControlNet 0"] == "Module: canny, Model: control_canny [abc], Weight: 1"


def test_a_text_without_pairs_is_a_prompt() -> None:
    assert parsed("just a cat, a hat: red") == (Made(prompt="just a cat, a hat: red"), [])


def test_each_sampler_has_a_name_of_its_own() -> None:
    assert set(SAMPLER_NAMES) == set(get_args(SchedulerName))
    assert len(set(SAMPLER_NAMES.values())) == len(SAMPLER_NAMES)
