"""Words and base model out of a LoRA's metadata."""

from __future__ import annotations

import pytest

from dreamgui.models.recognition.lora_metadata import named_base, trigger_words

DIGEST = "88f77fe942afc33331fd0f065c9549dfeb08bff65058bfcc82ac47a3f0a21cd8"
BASES = {"other": "0" * 64, "portraits": DIGEST}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({}, ""),
        ({"modelspec.trigger_phrase": "anna\n woman", "ss_dataset_dirs": '{"1_x": {}}'}, "anna woman"),
        ({"ss_dataset_dirs": '{"10_sks woman": {"n_repeats": 10}, "notes": {}}'}, "sks woman"),
        ({"ss_dataset_dirs": '{"10_sks woman": {}, "1_woman": {}}'}, ""),
        ({"ss_dataset_dirs": "[1"}, ""),
        ({"ss_dataset_dirs": "[1]"}, ""),
        ({"ss_trigger_words": "x" * 500}, "x" * 200),
    ],
)  # fmt: skip
def test_words(metadata: dict[str, str], words: str) -> None:
    assert trigger_words(metadata) == words


@pytest.mark.parametrize(
    ("metadata", "base"),
    [
        ({}, ""),
        ({"ss_new_sd_model_hash": DIGEST.upper()}, "portraits"),
        ({"ss_sd_model_hash": DIGEST[:10], "ss_sd_model_name": "other.safetensors"}, "portraits"),
        ({"ss_sd_model_hash": "88"}, ""),
        ({"ss_sd_model_name": "C:\\models\\other.safetensors"}, "other"),
        ({"ss_sd_model_name": "unknown.ckpt"}, ""),
    ],
)  # fmt: skip
def test_base(metadata: dict[str, str], base: str) -> None:
    assert named_base(metadata, BASES) == base
