"""Texts of A1111 in several versions and of programs like it, and texts that are damaged or hostile."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamgui.pictures.made import Made, parameters
from dreamgui.pictures.parameter_line import pairs_of, written
from dreamgui.pictures.parsed import parsed

LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512"
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def test_the_first_version() -> None:
    made, remarks = parsed(
        "portrait of a woman, ((eyeshadow)), [detailed]\nNegative prompt: ugly, fat\n"
        "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x704, Model hash: 45dee52b"
    )
    assert (made.prompt, made.negative_prompt) == (
        "portrait of a woman, ((eyeshadow)), [detailed]",
        "ugly, fat",
    )
    assert (made.seed, made.size_px, made.model_hash, made.loras, remarks) == (
        965400086,
        (512, 704),
        "45dee52b",
        (),
        [],
    )


def test_version_1_10_with_hashes_as_plain_json() -> None:
    made, remarks = parsed(
        "a lighthouse \U0001f30a <lora:waves:0.75>, dusk\n"
        "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 3141592653, Size: 640x960, "
        "Model hash: 879db523c3, Model: dreamshaper_8, VAE hash: 735e4c3a44, VAE: vae-ft-mse.safetensors, "
        'Clip skip: 2, Lora hashes: "waves: 0123456789ab", '
        'Hashes: {"vae": "735e4c3a44", "model": "879db523c3"}, Version: v1.10.1'
    )
    assert made.prompt == "a lighthouse \U0001f30a, dusk"
    assert (made.sampler, made.steps, made.guidance_scale) == ("dpm++karras", 28, 5.5)
    assert made.loras == (("waves", "0123456789ab", 0.75),)
    assert made.more["Hashes"] == '{"vae": "735e4c3a44", "model": "879db523c3"}'
    assert made.more["Clip skip"] == "2" and not remarks


def test_what_civitai_writes() -> None:
    made, remarks = parsed(
        f"a cat\n{LINE}, Created Date: 2024-05-01T10:11:12.1234567Z, "
        'Civitai resources: [{"type":"lora","weight":0.5,"modelName":"Cats, all: of them"}], Civitai metadata: {}'
    )
    assert made.seed == 5 and not remarks
    assert made.more == {
        "Created Date": "2024-05-01T10:11:12.1234567Z",
        "Civitai resources": '[{"type":"lora","weight":0.5,"modelName":"Cats, all: of them"}]',
        "Civitai metadata": "{}",
    }


def test_quotes_within_quotes() -> None:
    made, _ = parsed(f'a cat\n{LINE}, ADetailer prompt: "a \\"smiling\\" face,\\nsharp: yes", Mask blur: 4')
    assert made.more == {"ADetailer prompt": 'a "smiling" face,\nsharp: yes', "Mask blur": "4"}


def test_lines_of_extensions_behind_the_settings() -> None:
    made, remarks = parsed(f"a cat\n{LINE}\nTemplate: a {{cat|dog}}\nNegative Template: ugly")
    assert (made.prompt, made.seed, made.negative_prompt) == ("a cat", 5, "")
    assert len(remarks) == 1 and "Template: a {cat|dog}" in remarks[0]


def test_lines_end_as_windows_has_them() -> None:
    made, _ = parsed(f"a cat,\r\na hat\r\nNegative prompt: ugly\r\n{LINE}\r\n")
    assert (made.prompt, made.negative_prompt, made.seed) == ("a cat,\na hat", "ugly", 5)


def test_pieces_that_are_no_pair_are_told() -> None:
    made, remarks = parsed(f"a cat\n{LINE}, nonsense, (odd): 3, Seed: 6, Model: m")
    assert (made.seed, made.model) == (5, "m")
    assert remarks == ["'nonsense' and 2 more in the settings wasn't understood."]


def test_networks() -> None:
    made, remarks = parsed(
        f"<lora:a> x <LoRA:b:-0.5:0.2> <lyco:c:1> <lora:d:nan> <lora:a b.c_d-e:1e-1>\n{LINE}"
    )
    assert made.loras == (("a", "", 1.0), ("b", "", -0.5), ("d", "", 1.0), ("a b.c_d-e", "", 0.1))
    assert made.prompt == "x <lyco:c:1>"
    assert [word in " ".join(remarks) for word in ("'b' has further", "<lyco:c>", "'d': 'nan'")] == [True] * 3


@pytest.mark.parametrize(
    ("sampler", "ours"),
    [
        ("DPM++ 2M SDE, Schedule type: Automatic", ""),
        ("DPM++ 2M SDE, Schedule type: Karras", "dpm++sde"),
        ("DPM++ 2M SDE", ""),
        ("DPM++ SDE Karras", ""),
        ("Euler, Schedule type: Uniform", "euler"),
        ("Euler, Schedule type: Karras", ""),
        ("DPM++ 2M, Schedule type: Uniform", "dpm++"),
        ("DPM++ 2M Karras, Schedule type: Karras", "dpm++karras"),
        ("LCM, Schedule type: Automatic", "lcm"),
    ],
)
def test_no_sampler_is_replaced_by_another(sampler: str, ours: str) -> None:
    """A1111 proposes exponential noise levels for DPM++ 2M SDE, and Karras' for DPM++ 2M."""
    made, remarks = parsed(f"a cat\n{LINE.replace('Euler a', sampler)}")
    assert made.sampler == ours
    assert bool(remarks) == (not ours)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Steps: 20", "Steps: inf"), ("Steps: 20", "Steps: 2.5"), ("Steps: 20", "Steps: -1"),
        ("Seed: 5", "Seed: \u00b2"), ("Seed: 5", "Seed: --5"), ("Seed: 5", "Seed: " + "9" * 5000),
        ("CFG scale: 7", "CFG scale: nan"), ("CFG scale: 7", "CFG scale: much"), ("Size: 512x512", "Size: large"),
        ("Size: 512x512", "Size: 999999x1"),
    ],
)  # fmt: skip
def test_numbers_that_are_none_are_left_out_and_told(right: str, wrong: str) -> None:
    made, remarks = parsed(f"a cat\n{LINE.replace(right, wrong)}")
    assert len(remarks) == 1 and wrong.split(":")[0] in remarks[0] and len(remarks[0]) < 200
    name = wrong.split(":")[0]
    field = {"Steps": made.steps, "Seed": made.seed, "CFG scale": made.guidance_scale, "Size": made.size_px}[
        name
    ]
    assert field in (0, None, (0, 0)) and made.prompt == "a cat"


def test_remarks_are_few() -> None:
    _, remarks = parsed("".join(f"<lyco:{number}:1>" for number in range(1000)))
    assert len(remarks) < 20 and "988 further" in remarks[-1]


@given(TEXTS)
def test_any_text_is_read(text: str) -> None:
    for each in (text, f"{text}\n{LINE}", f"a cat\n{LINE}, {text}"):
        made, remarks = parsed(each)
        assert math.isfinite(made.guidance_scale) and all(isinstance(remark, str) for remark in remarks)


@pytest.mark.parametrize(
    "piece", ['a:["', "a:[1,", "a ", "[", '{"', "<lora:", "Steps:\n", "Steps: 1,\n", ",", '"', "a:"]
)
@pytest.mark.timeout(30)
def test_long_hostile_texts_end(piece: str) -> None:
    """A reader whose work grows with the square of the length doesn't end within a test's time limit."""
    text = (piece * (1_000_000 // len(piece)))[:1_000_000]
    made, remarks = parsed(text)
    assert len(remarks) < 20 and isinstance(made, Made)


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9 ]{0,20}[A-Za-z0-9]", fullmatch=True)


@given(st.dictionaries(NAMES, TEXTS.filter(bool), max_size=6))
def test_a_line_of_any_values_is_read_back(pairs: dict[str, str]) -> None:
    assert pairs_of(written(pairs)) == (pairs, [])


@given(TEXTS, st.floats(0, 100), st.floats(-2, 2))
def test_prompts_and_numbers_are_read_back(prompt: str, scale: float, strength: float) -> None:
    prompt = re.sub(r"\r\n?", "\n", prompt).strip().replace("<", "")
    if re.search(r"^\s*Negative prompt:", prompt, re.MULTILINE):
        return
    made = Made(prompt, "no, \"never\": 'x'", 3, "lcm", float(f"{scale:.9g}"), 1, (64, 64))
    assert parsed(parameters(made)) == (made, [])
    with_lora = Made(prompt, steps=1, sampler="lcm", seed=1, loras=(("a", "b", float(f"{strength:.9g}")),))
    assert parsed(parameters(with_lora)) == (with_lora, [])


def test_a_lora_name_cannot_break_the_text() -> None:
    made, remarks = parsed(parameters(Made("x", steps=1, seed=1, loras=(('a<b>:c,"d', "00ff", 0.5),))))
    assert made.loras == (("abcd", "00ff", 0.5),) and not remarks
